/**
 * The documentation page: choose the server's own interface or a service, read what it takes and gives,
 * try it out.
 *
 * Every address is relative to the page, so that it works at the root of a server and below a prefix
 * alike. Behind Jupyter nobody signs in here: Jupyter knows the user already.
 */
'use strict';

(() => {
  const TOKEN = 'jupyter-mlops-token';
  const base = new URL('.', window.location.href);
  const element = id => document.getElementById(id);
  const signIn = element('sign-in');
  const select = element('service');
  const format = element('format');

  /** An address below the page; every part is one segment, whatever it contains. */
  const address = (...parts) => new URL(parts.map(encodeURIComponent).join('/'), base);

  /** What goes with every request to this server, and to no other. */
  function credentials() {
    const headers = {};
    const token = window.sessionStorage.getItem(TOKEN);
    if (token) {
      headers.Authorization = `Bearer ${token}`;
    }
    const xsrf = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/);
    if (xsrf) {
      headers['X-XSRFToken'] = decodeURIComponent(xsrf[1]);
    }
    return headers;
  }

  /** Ask for JSON; a refusal becomes an error with its status and the server's own message. */
  async function ask(url, options = {}) {
    const headers = { Accept: 'application/json', ...credentials(), ...options.headers };
    const response = await fetch(url, { ...options, headers });
    const body = await response.json().catch(() => null);
    if (!response.ok || body === null) {
      const error = new Error((body && body.message) || `${response.status} ${response.statusText}`);
      error.status = response.status;
      throw error;
    }
    return body;
  }

  function say(text) {
    element('notice').textContent = text;
    element('notice').hidden = text === '';
  }

  function show({ form = false, services = false }) {
    signIn.hidden = !form;
    element('pick').hidden = !services;
    element('swagger').hidden = !services;
    element('sign-out').hidden = !services || !window.sessionStorage.getItem(TOKEN);
  }

  /** What to do about an error, depending on who refused. */
  function failed(error) {
    if (error.status === 401) {
      const expired = window.sessionStorage.getItem(TOKEN) !== null;
      window.sessionStorage.removeItem(TOKEN);
      show({ form: true });
      say(expired ? error.message : '');
      return;
    }
    show({});
    say(error.status === 403 ? `${error.message}\nLog in to Jupyter, then load this page again.` : error.message);
  }

  /** The version that the address asks for, else the latest of the name, else the last service, else the server. */
  function wanted(services) {
    const query = new URLSearchParams(window.location.search || window.location.hash.slice(1));
    if (query.has('server')) {
      return [];
    }
    const named = services.filter(each => each.name === query.get('service'));
    const found = named.find(each => each.version === query.get('version')) || named.at(-1) || services.at(-1);
    return found ? [found.name, found.version] : [];
  }

  function fill(services) {
    const groups = new Map();
    for (const service of services) {
      groups.set(service.name, [service, ...(groups.get(service.name) || [])]);
    }
    select.replaceChildren(new Option('This server', '[]'));
    for (const [name, versions] of [...groups].sort(([a], [b]) => a.localeCompare(b))) {
      const group = document.createElement('optgroup');
      group.label = name;
      for (const service of versions) {
        const option = new Option(`${name} ${service.version}`, JSON.stringify([name, service.version]));
        group.append(option);
      }
      select.append(group);
    }
  }

  async function load() {
    const services = await ask(address('services'));
    fill(services);
    const chosen = wanted(services);
    select.value = JSON.stringify(chosen);
    await describe(...chosen);
  }

  /** Let requests go to addresses below this page, wherever that is. */
  function place(spec) {
    if (spec.openapi) {
      spec.servers = [{ url: base.href.replace(/\/$/, '') }];
      return;
    }
    spec.host = window.location.host;
    spec.schemes = [window.location.protocol.replace(':', '')];
    spec.basePath = base.pathname.replace(/(.)\/$/, '$1');
  }

  /** Show the document of one version, or without one the server's own. */
  async function describe(name, version) {
    if (!window.SwaggerUIBundle) {
      throw new Error('This installation was built without Swagger UI; install the package again.');
    }
    const spec = await ask(name ? address('api', name, version, format.value) : address(format.value));
    place(spec);
    document.title = name ? `${name} ${version}` : 'This server';
    const query = new URLSearchParams(name ? { service: name, version } : { server: '' });
    window.history.replaceState(null, '', `?${query}`);
    say('');
    show({ services: true });
    window.ui = window.SwaggerUIBundle({
      spec,
      domNode: element('swagger'),
      defaultModelsExpandDepth: 0,
      deepLinking: false,
      docExpansion: 'list',
      queryConfigEnabled: false,
      tryItOutEnabled: true,
      validatorUrl: null,
      requestInterceptor: request => {
        const url = new URL(request.url, window.location.href);
        if (url.origin === base.origin && url.pathname.startsWith(base.pathname)) {
          request.headers = { ...credentials(), ...request.headers };
        }
        return request;
      },
      responseInterceptor: response => {
        // Answers are attachments, so that no browser runs them; here they are only text.
        if (/json/.test(response.headers['content-type'] || '')) {
          delete response.headers['content-disposition'];
        }
        return response;
      },
      onComplete: () => name && open(spec)
    });
  }

  /** Unfold the call of the service; batches and the login stay folded. */
  function open(spec) {
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const operation of Object.values(methods)) {
        if (/^\/api\/[^/]+\/[^/]+$/.test(path) && operation.operationId) {
          window.ui.layoutActions.show(['operations', operation.tags[0], operation.operationId], true);
        }
      }
    }
  }

  async function token() {
    const pasted = element('token').value.trim();
    if (pasted !== '') {
      return pasted.replace(/^Bearer\s+/i, '');
    }
    const answer = await ask(address('login'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username: element('user').value, password: element('password').value })
    });
    return answer.access_token;
  }

  signIn.addEventListener('submit', event => {
    event.preventDefault();
    say('');
    token()
      .then(found => {
        window.sessionStorage.setItem(TOKEN, found);
        element('password').value = '';
        element('token').value = '';
        return load();
      })
      .catch(error => {
        failed(error);
        if (error.status === 401) {
          say(error.message);
        }
      });
  });

  element('sign-out').addEventListener('click', () => {
    window.sessionStorage.removeItem(TOKEN);
    window.location.reload();
  });

  for (const choice of [select, format]) {
    choice.addEventListener('change', () => {
      describe(...JSON.parse(select.value)).catch(failed);
    });
  }

  load().catch(failed);
})();
