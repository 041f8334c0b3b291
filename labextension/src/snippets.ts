/**
 * Code that people paste.
 */
import { IServiceView } from './schema';

/** What the panel teaches while there is nothing to show. */
export const PUBLISH_EXAMPLE = `%load_ext jupyter_mlops

%%publish double 1.0
def double(x: float) -> float:
    return 2 * x`;

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Python that calls a service version; names that Python could not spell go in a dictionary.
 */
export function pythonSnippet(service: IServiceView): string {
  const names = service.inputParameterDefinitions.map(each => each.name);
  const plain = names.every(name => IDENTIFIER.test(name));
  const values = plain
    ? names.map(name => `${name}=...`).join(', ')
    : `{${names.map(name => `${JSON.stringify(name)}: ...`).join(', ')}}`;
  const coordinates = `${JSON.stringify(service.name)}, version=${JSON.stringify(service.version)}`;
  return [
    'from jupyter_mlops import DeployClient',
    '',
    `service = DeployClient().get_service(${coordinates})`,
    `service.${service.operationId ?? 'consume'}(${values})`
  ].join('\n');
}
