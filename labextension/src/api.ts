/**
 * One typed function per route that the sidebar uses.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { address, request } from './request';

/** The address at which a service version is called. */
export function callUrl(
  settings: ServerConnection.ISettings,
  name: string,
  version: string
): string {
  return address(settings, 'api', name, version);
}

/** The page that documents a service version and lets people try it out. */
export function docsUrl(
  settings: ServerConnection.ISettings,
  name: string,
  version: string
): string {
  return (
    address(settings, 'docs') +
    URLExt.objectToQueryString({ service: name, version })
  );
}

/** Delete a service version. */
export async function deleteService(
  settings: ServerConnection.ISettings,
  name: string,
  version: string
): Promise<void> {
  const url = address(settings, 'services', name, version);
  await request(settings, url, { method: 'DELETE' });
}
