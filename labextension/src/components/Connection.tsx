/**
 * How the panel is connected, and the button that helps when it is not.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Status } from '../stream';

interface IProps {
  readonly count: number | null;
  readonly onReconnect: () => void;
  readonly reason: string;
  readonly status: Status;
  readonly trans: TranslationBundle;
}

export function Connection(props: IProps): JSX.Element {
  const { count, onReconnect, reason, status, trans } = props;
  return (
    <div className="jp-mlops-Connection" data-status={status} role="status">
      <span className="jp-mlops-Connection-dot" aria-hidden="true" />
      <span className="jp-mlops-Connection-text" title={reason || undefined}>
        {text(status, count ?? 0, trans)}
        {status === 'retrying' && reason !== '' && (
          <span className="jp-mlops-Connection-reason">{reason}</span>
        )}
      </span>
      {status === 'retrying' && (
        <button type="button" className="jp-mlops-Link" onClick={onReconnect}>
          {trans.__('Retry now')}
        </button>
      )}
      {status === 'stopped' && (
        <button type="button" className="jp-mlops-Link" onClick={onReconnect}>
          {trans.__('Start it')}
        </button>
      )}
    </div>
  );
}

function text(
  status: Status,
  count: number,
  trans: TranslationBundle
): string {
  switch (status) {
    case 'live':
      return trans._n('Live · %1 service', 'Live · %1 services', count, count);
    case 'retrying':
      return trans.__('Not connected, retrying…');
    case 'stopped':
      return trans.__('Server not running');
    default:
      return trans.__('Connecting…');
  }
}
