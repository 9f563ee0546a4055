import { createHash } from 'node:crypto';
import type { ClientRequest } from '../forward/client-message.js';
import type { OwnAnswer } from '../model/errors.js';
import { escapeHtml } from '../model/escape-html.js';
import { followPlaceholder } from '../model/waiting-keys.js';

/** Where a waiting page follows the boot of its app; ours on every domain of an app with `waiting: page`. */
export const followPath = '/.well-known/fastcontainer/waiting';

/**
 * Whether a request is a browser's to open a page: only then a page in the place of the app makes sense. What fetches data, sends a body, or
 * does not ask for HTML waits.
 */
export function isNavigation({ method, headers }: Pick<ClientRequest, 'method' | 'headers'>): boolean {
  const { accept = '', range } = headers;
  const mode = headers['sec-fetch-mode'];
  return (
    method === 'GET' &&
    /\btext\/html\b/i.test(accept) &&
    (mode === undefined || mode === 'navigate') &&
    range === undefined &&
    headers['x-requested-with'] === undefined &&
    headers['sec-purpose'] === undefined
  );
}

/**
 * Follows the boot by server-sent events, and enters the app when it is ready: never sooner than 3 s after it last did so. If the
 * stream is not to be had, it loads the page again after a while.
 */
const script = `(() => {
  const said = document.getElementById('waiting');
  const key = 'fastcontainer-entered';
  const enter = (pauseMs) => setTimeout(() => {
    try { sessionStorage.setItem(key, Date.now()); } catch {}
    location.reload();
  }, pauseMs);
  const soon = () => {
    let last = 0;
    try { last = Number(sessionStorage.getItem(key)); } catch {}
    return Math.max(0, last + 3000 - Date.now());
  };
  if (!window.EventSource) return enter(3000);
  const events = new EventSource('${followPath}');
  events.addEventListener('ready', () => { events.close(); enter(soon()); });
  events.addEventListener('asleep', () => { events.close(); enter(3000); });
  events.addEventListener('failed', ({ data }) => {
    events.close();
    document.documentElement.dataset.failed = '';
    if (said) said.textContent = data;
  });
  events.onerror = () => { if (events.readyState === 2) enter(5000); };
})();`;

const follow = `<noscript><meta http-equiv="refresh" content="3"></noscript><script>${script}</script>`;

const policy = [
  "default-src 'none'",
  "style-src 'unsafe-inline' https:",
  'img-src data: https:',
  'font-src data: https:',
  `script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const builtIn = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Starting {{domain}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222;background:#fff}
.bar{height:.25rem;border-radius:.125rem;background:linear-gradient(90deg,#8884 40%,#37c 50%,#8884 60%) 0/300%;animation:go 2s linear infinite}
@keyframes go{from{background-position:100%}to{background-position:0}}
[data-failed] .bar{display:none}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}}
@media(prefers-reduced-motion:reduce){.bar{animation:none}}</style></head>
<body><main><h1>{{domain}}</h1><p id="waiting" role="status">This site is starting. It will open by itself in a moment.</p><div class="bar" aria-hidden="true"></div></main>
{{follow}}</body></html>
`;

/** The page of an app that boots, from the operator's template; an empty one is the built-in. */
export function waitingPage(template: string, host: string): OwnAnswer {
  // In one pass: what is put in is not looked at again.
  const text = (template || builtIn).replaceAll(/\{\{(domain|follow)\}\}/g, (placeholder) =>
    placeholder === followPlaceholder ? follow : escapeHtml(host),
  );
  return {
    status: 503,
    body: { type: 'text/html; charset=utf-8', text },
    headers: { 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff', Vary: 'Accept, Sec-Fetch-Mode' },
  };
}
