/**
 * A button that is an icon, with a name for those who do not see it.
 */
import { checkIcon, LabIcon } from '@jupyterlab/ui-components';
import React, { useEffect, useState } from 'react';

/** How long a done action shows its tick, in milliseconds. */
const TICK = 1500;

interface IProps {
  readonly icon: LabIcon;
  readonly label: string;
  /** What is said when it is done; without it nothing is said. */
  readonly done?: string;
  readonly danger?: boolean;
  readonly onClick: () => void;
}

export function IconButton(props: IProps): JSX.Element {
  const [ticked, setTicked] = useState(false);
  useEffect(() => {
    if (!ticked) {
      return;
    }
    const timer = window.setTimeout(() => setTicked(false), TICK);
    return () => window.clearTimeout(timer);
  }, [ticked]);

  const label = ticked && props.done ? props.done : props.label;
  const icon = ticked ? checkIcon : props.icon;
  return (
    <button
      type="button"
      className={
        'jp-mlops-IconButton' + (props.danger ? ' jp-mod-danger' : '')
      }
      title={label}
      aria-label={label}
      onClick={() => {
        props.onClick();
        setTicked(props.done !== undefined);
      }}
    >
      <icon.react tag="span" height="14px" width="14px" />
    </button>
  );
}
