/**
 * The left sidebar panel.
 */
import { Clipboard } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { searchIcon, VDomRenderer } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import React from 'react';

import { CommandIDs } from './commands';
import { Connection } from './components/Connection';
import { FirstServiceHint, NoMatchHint } from './components/Hint';
import { IActions, ServiceCard } from './components/ServiceCard';
import { servicesIcon } from './icons';
import { IServiceManager } from './manager';
import { PanelModel } from './model';

export const PANEL_ID = 'jupyter-mlops-services';

/** From this many services on, a filter box is worth its place. */
const FILTER_FROM = 4;

/** How often "3 minutes ago" is said anew, in milliseconds. */
const A_MINUTE = 60_000;

/**
 * Shows the services; asks for them when it is first seen, so that opening JupyterLab starts nothing.
 */
export class ServicesPanel extends VDomRenderer<PanelModel> {
  constructor(options: ServicesPanel.IOptions) {
    super(new PanelModel(options.manager));
    this._commands = options.commands;
    this._manager = options.manager;
    this._trans = options.trans;
    this.id = PANEL_ID;
    this.addClass('jp-mlops-Panel');
    this.title.icon = servicesIcon;
    this.title.caption = this._trans.__('Services');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this._trans.__('Services'));
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    window.clearInterval(this._clock);
    this.model.dispose();
    super.dispose();
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      this._manager.ensureConnected();
    }
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._manager.ensureConnected();
    this._clock = window.setInterval(() => this.update(), A_MINUTE);
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    window.clearInterval(this._clock);
  }

  protected render(): JSX.Element {
    const trans = this._trans;
    const { count, filter, reason, status } = this.model;
    return (
      <>
        <header className="jp-mlops-Header">
          <h2>{trans.__('Services')}</h2>
          <Connection
            count={count}
            onReconnect={() => this._execute(CommandIDs.reconnect)}
            reason={reason}
            status={status}
            trans={trans}
          />
        </header>
        {(filter !== '' || (count ?? 0) >= FILTER_FROM) && (
          <label className="jp-mlops-Filter">
            <searchIcon.react tag="span" height="14px" width="14px" />
            <input
              type="search"
              aria-label={trans.__('Filter services')}
              placeholder={trans.__('Filter services')}
              value={filter}
              spellCheck={false}
              onChange={event => (this.model.filter = event.target.value)}
            />
          </label>
        )}
        {this._body()}
      </>
    );
  }

  private _body(): JSX.Element | null {
    const { count, filter, groups, status } = this.model;
    const trans = this._trans;
    if (count === null) {
      return null;
    }
    if (count === 0) {
      return (
        <FirstServiceHint
          onCopy={text => Clipboard.copyToSystem(text)}
          trans={trans}
        />
      );
    }
    if (groups.length === 0) {
      return (
        <NoMatchHint
          filter={filter}
          onClear={() => (this.model.filter = '')}
          trans={trans}
        />
      );
    }
    return (
      <ul
        className="jp-mlops-List"
        aria-label={trans.__('Services')}
        data-stale={status !== 'live' || undefined}
      >
        {groups.map(group => (
          <ServiceCard
            // A new key restarts the animation that catches the eye.
            key={`${group.name} ${group.touched}`}
            actions={this._actions}
            group={group}
            onShow={version => this.model.show(group.name, version)}
            trans={trans}
          />
        ))}
      </ul>
    );
  }

  private _execute(id: string, name?: string, version?: string): void {
    void this._commands.execute(id, name === undefined ? {} : { name, version });
  }

  private _actions: IActions = {
    copyUrl: ({ name, version }) =>
      this._execute(CommandIDs.copyUrl, name, version),
    copyPython: ({ name, version }) =>
      this._execute(CommandIDs.copyPython, name, version),
    openDocs: ({ name, version }) =>
      this._execute(CommandIDs.openDocs, name, version),
    delete: ({ name, version }) =>
      this._execute(CommandIDs.deleteService, name, version)
  };
  private _clock = 0;
  private _commands: CommandRegistry;
  private _manager: IServiceManager;
  private _trans: TranslationBundle;
}

export namespace ServicesPanel {
  /** What the panel is made of. */
  export interface IOptions {
    readonly commands: CommandRegistry;
    readonly manager: IServiceManager;
    readonly trans: TranslationBundle;
  }
}
