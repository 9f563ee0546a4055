/**
 * Names of headers by which a proxy tells an app where a request came from, under which URL, or who sent it. Apps believe them,
 * so a client that sends them itself is not believed: they are dropped unless they come from a trusted proxy.
 * docs/clients.md lists them.
 */
export const proxyHeaderNames: readonly string[] = [
  // Where from.
  ...['forwarded', 'x-real-ip', 'client-ip', 'x-client-ip', 'x-cluster-client-ip', 'true-client-ip', 'x-remote-ip'],
  ...['x-remote-addr', 'remote-addr', 'x-originating-ip', 'x-proxyuser-ip', 'wl-proxy-client-ip', 'x-azure-clientip'],
  ...['x-azure-socketip', 'fastly-client-ip', 'fly-client-ip', 'cf-connecting-ip', 'cf-connecting-ipv6'],
  ...['cf-pseudo-ipv4', 'cf-ipcountry', 'cf-visitor', 'fastly-ssl', 'x-appengine-user-ip'],
  // Under which URL.
  ...[
    'x-rewrite-url',
    'x-host',
    'x-scheme',
    'x-url-scheme',
    'front-end-https',
    'x-arr-ssl',
    'wl-proxy-ssl',
    'x-script-name',
  ],
  // Who.
  ...['remote-user', 'x-remote-user', 'x-webauth-user', 'x-authenticated-user', 'x-client-cert', 'x-client-verify'],
  ...['x-client-dn', 'x-ssl-cert', 'ssl-client-cert', 'x-goog-iap-jwt-assertion', 'cf-access-authenticated-user-email'],
];

export const proxyHeaderPrefixes: readonly string[] = [
  ...['x-forwarded-', 'x-original-', 'x-envoy-', 'x-auth-request-', 'x-ssl-client-', 'ssl-client-'],
  ...['x-goog-authenticated-user-', 'x-ms-client-principal', 'x-amzn-oidc-', 'tailscale-user-'],
];

const names = new Set(proxyHeaderNames);
/** Most names are none of these, and told apart by their first letter. */
const initials = new Set(proxyHeaderPrefixes.map((prefix) => prefix.charCodeAt(0)));

/** Whether a header of this name, in lower case, counts only from a trusted proxy. */
export function isProxyHeader(name: string): boolean {
  if (names.has(name)) return true;
  if (!initials.has(name.charCodeAt(0))) return false;
  for (const prefix of proxyHeaderPrefixes) if (name.startsWith(prefix)) return true;
  return false;
}

/** With what servers that map headers to variables read as a hyphen. */
const ours = /^x[^a-z0-9]fastcontainer[^a-z0-9]/i;

/** Whether only this dispatcher may send a header of this name, in any case and spelling: apps and clients must not forge it. */
export function isOurs(name: string): boolean {
  return ours.test(name);
}
