/**
 * The commands of the sidebar.
 */
import { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableSet, IDisposable } from '@lumino/disposable';

import { IServiceManager } from './manager';
import { IServiceView } from './schema';
import { pythonSnippet } from './snippets';

export namespace CommandIDs {
  export const showServices = 'jupyter-mlops:show-services';
  export const copyUrl = 'jupyter-mlops:copy-url';
  export const copyPython = 'jupyter-mlops:copy-python';
  export const openDocs = 'jupyter-mlops:open-docs';
  export const deleteService = 'jupyter-mlops:delete-service';
  export const reconnect = 'jupyter-mlops:reconnect';
}

/** The arguments of a command that is about one version, as a JSON schema. */
const ABOUT_ONE_VERSION = {
  args: {
    type: 'object',
    properties: {
      name: { type: 'string', description: 'The name of the service' },
      version: { type: 'string', description: 'The version of the service' }
    },
    required: ['name', 'version']
  }
} as const;

const NO_ARGUMENTS = { args: { type: 'object', properties: {} } } as const;

/**
 * Register the commands.
 *
 * @param panelId - The id of the panel that `show-services` shows.
 */
export function registerCommands(
  app: JupyterFrontEnd,
  manager: IServiceManager,
  panelId: string,
  trans: TranslationBundle
): IDisposable {
  const { commands, shell } = app;
  const found = (args: ReadonlyPartialJSONObject): IServiceView => {
    const service = manager.services?.find(
      each => each.name === args.name && each.version === args.version
    );
    if (!service) {
      throw new Error(`there is no service ${args.name} ${args.version}`);
    }
    return service;
  };
  const registered = new DisposableSet();

  registered.add(
    commands.addCommand(CommandIDs.showServices, {
      label: trans.__('Show Services'),
      caption: trans.__('Show the services published from notebooks'),
      describedBy: NO_ARGUMENTS,
      execute: () => shell.activateById(panelId)
    })
  );
  registered.add(
    commands.addCommand(CommandIDs.reconnect, {
      label: trans.__('Reconnect to the Services'),
      caption: trans.__('Connect again, and start the server if none runs'),
      describedBy: NO_ARGUMENTS,
      execute: () => manager.reconnect()
    })
  );
  registered.add(
    commands.addCommand(CommandIDs.copyUrl, {
      label: trans.__('Copy the URL of a Service'),
      describedBy: ABOUT_ONE_VERSION,
      execute: args => {
        const { name, version } = found(args);
        Clipboard.copyToSystem(manager.callUrl(name, version));
      }
    })
  );
  registered.add(
    commands.addCommand(CommandIDs.copyPython, {
      label: trans.__('Copy Python Code that Calls a Service'),
      describedBy: ABOUT_ONE_VERSION,
      execute: args => Clipboard.copyToSystem(pythonSnippet(found(args)))
    })
  );
  registered.add(
    commands.addCommand(CommandIDs.openDocs, {
      label: trans.__('Open the Documentation of a Service'),
      describedBy: ABOUT_ONE_VERSION,
      execute: args => {
        const { name, version } = found(args);
        window.open(manager.docsUrl(name, version), '_blank', 'noopener');
      }
    })
  );
  registered.add(
    commands.addCommand(CommandIDs.deleteService, {
      label: trans.__('Delete a Service…'),
      describedBy: ABOUT_ONE_VERSION,
      execute: args => confirmDelete(manager, found(args), trans)
    })
  );
  return registered;
}

async function confirmDelete(
  manager: IServiceManager,
  service: IServiceView,
  trans: TranslationBundle
): Promise<void> {
  const { name, version } = service;
  const answer = await showDialog({
    title: trans.__('Delete %1 %2?', name, version),
    body: trans.__(
      'Programs that call this version will get an error. This cannot be undone.'
    ),
    buttons: [
      Dialog.cancelButton(),
      Dialog.warnButton({ label: trans.__('Delete') })
    ],
    defaultButton: 0
  });
  if (!answer.button.accept) {
    return;
  }
  try {
    await manager.delete(name, version);
  } catch (error) {
    await showErrorMessage(
      trans.__('%1 %2 was not deleted', name, version),
      error as Error
    );
  }
}
