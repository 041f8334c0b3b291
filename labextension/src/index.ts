/**
 * The plugins, and nothing else.
 */
import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, registerCommands } from './commands';
import { ServiceManager } from './manager';
import { PANEL_ID, ServicesPanel } from './panel';

const services: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-mlops:services',
  description:
    'A sidebar with the services that were published from notebooks, live.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter_mlops');
    const manager = new ServiceManager(app.serviceManager.serverSettings);
    const panel = new ServicesPanel({ commands: app.commands, manager, trans });
    registerCommands(app, manager, PANEL_ID, trans);
    app.shell.add(panel, 'left', { rank: 520, type: 'Services' });
    restorer?.add(panel, PANEL_ID);
    const category = trans.__('Services');
    for (const command of [CommandIDs.showServices, CommandIDs.reconnect]) {
      palette?.addItem({ command, category });
    }
  }
};

export default services;
