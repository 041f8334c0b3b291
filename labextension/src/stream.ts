/**
 * The events stream: a WebSocket that comes back by itself.
 */
import { ServerConnection } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { eventsAddress } from './request';
import { Message } from './schema';

/**
 * - `idle`: nobody has asked for it yet;
 * - `connecting`: the first attempt, which may be starting a server;
 * - `live`: connected;
 * - `retrying`: the connection was lost, or could not be made;
 * - `stopped`: no server runs; it is watched for, not started.
 */
export type Status = 'idle' | 'connecting' | 'live' | 'retrying' | 'stopped';

/** The extension's close code for "no server is running". */
const NOT_RUNNING = 4404;

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const WATCH_DELAY = 2_000;

/**
 * Connects, reads messages, and connects again with growing pauses.
 */
export class EventStream implements IDisposable {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
  }

  /** Emitted with every message. */
  get received(): ISignal<this, Message> {
    return this._received;
  }

  /** Emitted when the status or its reason has changed. */
  get statusChanged(): ISignal<this, void> {
    return this._statusChanged;
  }

  get status(): Status {
    return this._status;
  }

  /** Why it is not live, in the server's words; empty when it did not say. */
  get reason(): string {
    return this._reason;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /**
   * Connect now.
   *
   * @param start - Whether a server is to be started when none runs.
   */
  connect(start: boolean): void {
    if (this._disposed) {
      return;
    }
    this._hangUp();
    this._setStatus(start ? 'connecting' : this._status, '');
    const socket = new this._settings.WebSocket(
      eventsAddress(this._settings, start)
    );
    this._socket = socket;
    socket.onmessage = event => this._onMessage(event);
    socket.onclose = event => this._onClose(event);
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._hangUp();
    Signal.clearData(this);
  }

  private _onMessage(event: MessageEvent): void {
    this._attempts = 0;
    this._setStatus('live', '');
    this._received.emit(JSON.parse(event.data));
  }

  private _onClose(event: CloseEvent): void {
    this._socket = null;
    if (event.code === NOT_RUNNING) {
      this._setStatus('stopped', '');
      this._again(WATCH_DELAY);
      return;
    }
    this._setStatus('retrying', event.reason);
    // Many browsers lose a restarted server at the same moment.
    const spread = 0.5 + Math.random();
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this._attempts);
    this._attempts += 1;
    this._again(delay * spread);
  }

  private _again(delay: number): void {
    this._timer = window.setTimeout(() => this.connect(false), delay);
  }

  private _hangUp(): void {
    window.clearTimeout(this._timer);
    if (this._socket !== null) {
      this._socket.onmessage = null;
      this._socket.onclose = null;
      this._socket.close();
      this._socket = null;
    }
  }

  private _setStatus(status: Status, reason: string): void {
    if (status !== this._status || reason !== this._reason) {
      this._status = status;
      this._reason = reason;
      this._statusChanged.emit();
    }
  }

  private _attempts = 0;
  private _disposed = false;
  private _reason = '';
  private _received = new Signal<this, Message>(this);
  private _settings: ServerConnection.ISettings;
  private _socket: WebSocket | null = null;
  private _status: Status = 'idle';
  private _statusChanged = new Signal<this, void>(this);
  private _timer = 0;
}
