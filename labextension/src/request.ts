/**
 * One HTTP call through the Jupyter server, and the addresses of it.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { IErrorBody } from './schema';

/** Where the extension answers, below the Jupyter server's base URL. */
const ROOT = 'mlops';

/**
 * The address of a resource: every part is one path segment, whatever it contains.
 */
export function address(
  settings: ServerConnection.ISettings,
  ...parts: string[]
): string {
  const encoded = parts.map(part => encodeURIComponent(part));
  return URLExt.join(settings.baseUrl, ROOT, ...encoded);
}

/**
 * The address of the events stream.
 *
 * @param start - Whether a server is to be started when none runs.
 */
export function eventsAddress(
  settings: ServerConnection.ISettings,
  start: boolean
): string {
  const query: Record<string, string> = {};
  if (start) {
    query['start'] = '1';
  }
  if (settings.appendToken && settings.token !== '') {
    query['token'] = settings.token;
  }
  return (
    URLExt.join(settings.wsUrl, ROOT, 'events') +
    URLExt.objectToQueryString(query)
  );
}

/**
 * Make a call; a refusal becomes an error with the server's own message.
 */
export async function request(
  settings: ServerConnection.ISettings,
  url: string,
  init: RequestInit
): Promise<Response> {
  const response = await ServerConnection.makeRequest(url, init, settings);
  if (response.ok) {
    return response;
  }
  const text = await response.text();
  throw new ServerConnection.ResponseError(response, message(text));
}

/** The readable part of a refusal; undefined when it is not one of ours. */
function message(text: string): string | undefined {
  try {
    const body: Partial<IErrorBody> = JSON.parse(text);
    return typeof body.message === 'string' ? body.message : undefined;
  } catch {
    return undefined;
  }
}
