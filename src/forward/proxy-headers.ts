/**
 * Headers in which a proxy tells an app a request's origin, its URL or its user. Apps believe them, so they are dropped unless
 * they come from a trusted proxy. docs/clients.md lists them.
 */
export const proxyHeaderNames: readonly string[] = [
  // Origin.
  ...['forwarded', 'x-real-ip', 'client-ip', 'x-client-ip', 'x-cluster-client-ip', 'true-client-ip', 'x-remote-ip'],
  ...['x-remote-addr', 'remote-addr', 'x-originating-ip', 'x-proxyuser-ip', 'wl-proxy-client-ip', 'x-azure-clientip'],
  ...['x-azure-socketip', 'fastly-client-ip', 'fly-client-ip', 'cf-connecting-ip', 'cf-connecting-ipv6'],
  ...['cf-pseudo-ipv4', 'cf-ipcountry', 'cf-visitor', 'fastly-ssl', 'x-appengine-user-ip'],
  // URL.
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
  // User.
  ...['remote-user', 'x-remote-user', 'x-webauth-user', 'x-authenticated-user', 'x-client-cert', 'x-client-verify'],
  ...['x-client-dn', 'x-ssl-cert', 'ssl-client-cert', 'x-goog-iap-jwt-assertion', 'cf-access-authenticated-user-email'],
];

export const proxyHeaderPrefixes: readonly string[] = [
  ...['x-forwarded-', 'x-original-', 'x-envoy-', 'x-auth-request-', 'x-ssl-client-', 'ssl-client-'],
  ...['x-goog-authenticated-user-', 'x-ms-client-principal', 'x-amzn-oidc-', 'tailscale-user-'],
];

const names = new Set(proxyHeaderNames);
/** The first letter rules out most names. */
const initials = new Set(proxyHeaderPrefixes.map((prefix) => prefix.charCodeAt(0)));

/** Whether a header of this name, in lower case, counts only from a trusted proxy. */
export function isProxyHeader(name: string): boolean {
  if (names.has(name)) return true;
  if (!initials.has(name.charCodeAt(0))) return false;
  for (const prefix of proxyHeaderPrefixes) if (name.startsWith(prefix)) return true;
  return false;
}

/** Servers that map headers to variables read other characters as a hyphen. */
const ours = /^x[^a-z0-9]fastcontainer[^a-z0-9]/i;

/** Whether only this dispatcher may send a header of this name, in any case and spelling: apps and clients must not forge it. */
export function isOurs(name: string): boolean {
  return ours.test(name);
}
