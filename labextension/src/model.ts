/**
 * What the panel shows: groups of versions, a filter, and which version of a group is open.
 */
import { VDomModel } from '@jupyterlab/ui-components';

import { IServiceManager } from './manager';
import { IServiceView } from './schema';
import { Status } from './stream';

/** The versions of one name, latest first. */
export interface IGroup {
  readonly name: string;
  readonly versions: readonly IServiceView[];
  /** The version whose details are shown. */
  readonly shown: IServiceView;
  /** When the group last changed under the viewer's eyes; 0 for never. */
  readonly touched: number;
}

/**
 * The state of the panel.
 */
export class PanelModel extends VDomModel {
  constructor(manager: IServiceManager) {
    super();
    this._manager = manager;
    manager.changed.connect(this._onChanged, this);
    manager.published.connect(this._onPublished, this);
  }

  get status(): Status {
    return this._manager.status;
  }

  get reason(): string {
    return this._manager.reason;
  }

  /** How many names there are; null until the server was heard. */
  get count(): number | null {
    const services = this._manager.services;
    return services && new Set(services.map(service => service.name)).size;
  }

  get filter(): string {
    return this._filter;
  }
  set filter(value: string) {
    this._filter = value;
    this.stateChanged.emit();
  }

  /** The groups that pass the filter; what was published last comes first. */
  get groups(): readonly IGroup[] {
    const byName = new Map<string, IServiceView[]>();
    for (const service of [...(this._manager.services ?? [])].reverse()) {
      const versions = byName.get(service.name);
      if (versions) {
        versions.push(service);
      } else {
        byName.set(service.name, [service]);
      }
    }
    return [...byName]
      .filter(([, versions]) => versions.some(each => this._passes(each)))
      .map(([name, versions]) => ({
        name,
        versions,
        shown:
          versions.find(each => each.version === this._shown.get(name)) ??
          versions[0],
        touched: this._touched.get(name) ?? 0
      }));
  }

  /** Show the details of a version. */
  show(name: string, version: string): void {
    this._shown.set(name, version);
    this.stateChanged.emit();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._manager.changed.disconnect(this._onChanged, this);
    this._manager.published.disconnect(this._onPublished, this);
    super.dispose();
  }

  private _passes(service: IServiceView): boolean {
    const text = [
      service.name,
      service.version,
      service.description ?? '',
      service.versionPublishedBy
    ]
      .join('\n')
      .toLowerCase();
    return this._filter
      .toLowerCase()
      .split(/\s+/)
      .every(word => text.includes(word));
  }

  private _onChanged(): void {
    this.stateChanged.emit();
  }

  private _onPublished(_: IServiceManager, service: IServiceView): void {
    this._shown.delete(service.name);
    this._touched.set(service.name, Date.now());
    this.stateChanged.emit();
  }

  private _filter = '';
  private _manager: IServiceManager;
  private _shown = new Map<string, string>();
  private _touched = new Map<string, number>();
}
