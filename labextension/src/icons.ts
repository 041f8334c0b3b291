/**
 * The icon of the sidebar: a notebook cell whose output is a live service.
 */
import { LabIcon } from '@jupyterlab/ui-components';

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 4h10a2 2 0 0 1 2 2v1.2a7 7 0 0 0-2-.2V6H4v10h3.3c.1.7.3 1.4.6 2H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2z"/>
    <path d="M6 8.2 9.3 11 6 13.8V8.2z"/>
    <circle cx="14.5" cy="14.5" r="2.1"/>
    <path d="M18.3 10.7a5.4 5.4 0 0 1 0 7.6l-1.2-1.2a3.7 3.7 0 0 0 0-5.2l1.2-1.2zM20.8 8.2a8.9 8.9 0 0 1 0 12.6l-1.2-1.2a7.2 7.2 0 0 0 0-10.2l1.2-1.2zM10.7 10.7l1.2 1.2a3.7 3.7 0 0 0 0 5.2l-1.2 1.2a5.4 5.4 0 0 1 0-7.6z"/>
  </g>
</svg>`;

export const servicesIcon = new LabIcon({
  name: 'jupyter-mlops:services',
  svgstr: svg
});
