/**
 * One service: its name, its versions, what it takes and gives, who published it and when.
 */
import { Time } from '@jupyterlab/coreutils';
import { TranslationBundle } from '@jupyterlab/translation';
import {
  codeIcon,
  deleteIcon,
  HTMLSelect,
  launchIcon,
  linkIcon
} from '@jupyterlab/ui-components';
import React from 'react';

import { IGroup } from '../model';
import { IParameter, IServiceView } from '../schema';
import { IconButton } from './IconButton';

/** Parameters beyond this many are counted, not listed. */
const LISTED = 3;

/** What can be done with a version; the panel turns it into commands. */
export interface IActions {
  copyUrl(service: IServiceView): void;
  copyPython(service: IServiceView): void;
  openDocs(service: IServiceView): void;
  delete(service: IServiceView): void;
}

interface IProps {
  readonly group: IGroup;
  readonly actions: IActions;
  readonly onShow: (version: string) => void;
  readonly trans: TranslationBundle;
}

export function ServiceCard(props: IProps): JSX.Element {
  const { actions, group, trans } = props;
  const service = group.shown;
  const published = new Date(service.creationTime + 'Z');
  return (
    <li
      className="jp-mlops-Card"
      data-service={group.name}
      data-fresh={group.touched > 0 || undefined}
    >
      <div className="jp-mlops-Card-head">
        <span className="jp-mlops-Card-name" title={group.name}>
          {group.name}
        </span>
        <Versions {...props} />
      </div>
      {service.description && (
        <p className="jp-mlops-Card-description">{service.description}</p>
      )}
      <div className="jp-mlops-Card-signature">
        <Parameters
          parameters={service.inputParameterDefinitions}
          none={trans.__('no inputs')}
        />
        <span className="jp-mlops-Card-outputs">
          <span className="jp-mlops-Card-arrow" aria-label={trans.__('gives')}>
            →
          </span>
          <Parameters
            parameters={service.outputParameterDefinitions}
            none={trans.__('no outputs')}
          />
        </span>
      </div>
      <div className="jp-mlops-Card-foot">
        <span
          className="jp-mlops-Card-origin"
          title={trans.__(
            'Published by %1, %2',
            service.versionPublishedBy,
            Time.format(published)
          )}
        >
          {service.versionPublishedBy} · {Time.formatHuman(published)}
        </span>
        <span className="jp-mlops-Card-actions">
          <IconButton
            icon={linkIcon}
            label={trans.__('Copy the URL of %1', group.name)}
            done={trans.__('Copied')}
            onClick={() => actions.copyUrl(service)}
          />
          <IconButton
            icon={codeIcon}
            label={trans.__('Copy Python code that calls %1', group.name)}
            done={trans.__('Copied')}
            onClick={() => actions.copyPython(service)}
          />
          <IconButton
            icon={launchIcon}
            label={trans.__('Open the documentation of %1', group.name)}
            onClick={() => actions.openDocs(service)}
          />
          <IconButton
            icon={deleteIcon}
            label={trans.__('Delete %1 %2…', group.name, service.version)}
            danger
            onClick={() => actions.delete(service)}
          />
        </span>
      </div>
    </li>
  );
}

function Versions({ group, onShow, trans }: IProps): JSX.Element {
  const latest = group.versions[0].version;
  if (group.versions.length === 1) {
    return <span className="jp-mlops-Card-version">{latest}</span>;
  }
  return (
    <HTMLSelect
      className="jp-mlops-Card-versions"
      aria-label={trans.__('Version of %1', group.name)}
      value={group.shown.version}
      onChange={event => onShow(event.target.value)}
    >
      {group.versions.map(({ version }) => (
        <option key={version} value={version}>
          {version === latest ? trans.__('%1 (latest)', version) : version}
        </option>
      ))}
    </HTMLSelect>
  );
}

function Parameters(props: {
  parameters: readonly IParameter[];
  none: string;
}): JSX.Element {
  const { none, parameters } = props;
  if (parameters.length === 0) {
    return <span className="jp-mlops-Parameters jp-mod-none">{none}</span>;
  }
  const listed =
    parameters.length > LISTED ? parameters.slice(0, LISTED - 1) : parameters;
  const all = parameters.map(each => `${each.name}: ${each.type}`).join('\n');
  return (
    <span className="jp-mlops-Parameters" title={all}>
      {listed.map(({ name, type }) => (
        <span className="jp-mlops-Parameter" key={name}>
          <span className="jp-mlops-Parameter-name">{name}</span>
          <span className="jp-mlops-Parameter-type">{type}</span>
        </span>
      ))}
      {listed.length < parameters.length && (
        <span className="jp-mlops-Parameter jp-mod-more">
          +{parameters.length - listed.length}
        </span>
      )}
    </span>
  );
}
