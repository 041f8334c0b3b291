/**
 * What stands in the place of the list while there is nothing to list.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { servicesIcon } from '../icons';
import { PUBLISH_EXAMPLE } from '../snippets';
import { IconButton } from './IconButton';

/** Teaches how the first service is published. */
export function FirstServiceHint(props: {
  onCopy: (text: string) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { onCopy, trans } = props;
  return (
    <div className="jp-mlops-Hint">
      <servicesIcon.react tag="span" height="40px" width="40px" />
      <h3>{trans.__('No services yet')}</h3>
      <p>
        {trans.__(
          'A service is a function of a notebook that any program can call. Put %1 on top of a cell:',
          '%%publish'
        )}
      </p>
      <div className="jp-mlops-Hint-example">
        <pre>{PUBLISH_EXAMPLE}</pre>
        <IconButton
          icon={copyIcon}
          label={trans.__('Copy the example')}
          done={trans.__('Copied')}
          onClick={() => onCopy(PUBLISH_EXAMPLE)}
        />
      </div>
      <p>{trans.__('It appears here the moment it is published.')}</p>
    </div>
  );
}

/** Says that the filter hides everything. */
export function NoMatchHint(props: {
  filter: string;
  onClear: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { filter, onClear, trans } = props;
  return (
    <div className="jp-mlops-Hint">
      <p>{trans.__('No service matches “%1”.', filter)}</p>
      <button type="button" className="jp-mlops-Link" onClick={onClear}>
        {trans.__('Show all')}
      </button>
    </div>
  );
}
