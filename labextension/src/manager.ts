/**
 * The services of the server, kept true by its events.
 */
import { ServerConnection } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import * as api from './api';
import { EVENTS_FORMAT, IServiceView, Message } from './schema';
import { EventStream, Status } from './stream';

/** What people and other plugins may do with the services. */
export interface IServiceManager extends IDisposable {
  /** Emitted when a service or the connection has changed. */
  readonly changed: ISignal<IServiceManager, void>;
  /** Emitted when somebody has published or updated a version. */
  readonly published: ISignal<IServiceManager, IServiceView>;
  /** Every version, oldest first; null until the server was heard. */
  readonly services: readonly IServiceView[] | null;
  readonly status: Status;
  /** Why it is not live; empty when nobody said. */
  readonly reason: string;
  /** Connect, unless that has happened; starts a server when none runs. */
  ensureConnected(): void;
  /** Connect again at once; starts a server when none runs. */
  reconnect(): void;
  /** The address at which a version is called. */
  callUrl(name: string, version: string): string;
  /** The page that documents a version. */
  docsUrl(name: string, version: string): string;
  /** Delete a version; the list changes when the server says so. */
  delete(name: string, version: string): Promise<void>;
}

/**
 * Merges the events into one list.
 */
export class ServiceManager implements IServiceManager {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
    this._stream = new EventStream(settings);
    this._stream.received.connect(this._onMessage, this);
    this._stream.statusChanged.connect(this._onStatusChanged, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get published(): ISignal<this, IServiceView> {
    return this._published;
  }

  get services(): readonly IServiceView[] | null {
    return this._services;
  }

  get status(): Status {
    return this._stream.status;
  }

  get reason(): string {
    return this._stream.reason;
  }

  get isDisposed(): boolean {
    return this._stream.isDisposed;
  }

  ensureConnected(): void {
    if (this._stream.status === 'idle') {
      this._stream.connect(true);
    }
  }

  reconnect(): void {
    this._stream.connect(true);
  }

  callUrl(name: string, version: string): string {
    return api.callUrl(this._settings, name, version);
  }

  docsUrl(name: string, version: string): string {
    return api.docsUrl(this._settings, name, version);
  }

  delete(name: string, version: string): Promise<void> {
    return api.deleteService(this._settings, name, version);
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._stream.dispose();
    Signal.clearData(this);
  }

  private _onStatusChanged(): void {
    this._changed.emit();
  }

  private _onMessage(_: EventStream, message: Message): void {
    if (message.type === 'snapshot') {
      if (message.format !== EVENTS_FORMAT) {
        console.warn(
          `The server speaks events format ${message.format}, this sidebar ${EVENTS_FORMAT}; reload the page after an update.`
        );
      }
      this._seq = message.seq;
      this._services = message.services;
      this._changed.emit();
      return;
    }
    if (message.type !== 'service' || this._services === null) {
      return;
    }
    if (message.seq !== this._seq + 1) {
      // Something was missed: a new connection begins with the whole picture.
      this._stream.connect(false);
      return;
    }
    this._seq = message.seq;
    this._merge(message.name, message.version, message.service);
    this._changed.emit();
    if (message.service !== null) {
      this._published.emit(message.service);
    }
  }

  private _merge(
    name: string,
    version: string,
    service: IServiceView | null
  ): void {
    const services = [...(this._services ?? [])];
    const index = services.findIndex(
      other => other.name === name && other.version === version
    );
    if (index >= 0 && service !== null) {
      services[index] = service;
    } else if (index >= 0) {
      services.splice(index, 1);
    } else if (service !== null) {
      services.push(service);
    }
    this._services = services;
  }

  private _changed = new Signal<this, void>(this);
  private _published = new Signal<this, IServiceView>(this);
  private _seq = 0;
  private _services: readonly IServiceView[] | null = null;
  private _settings: ServerConnection.ISettings;
  private _stream: EventStream;
}
