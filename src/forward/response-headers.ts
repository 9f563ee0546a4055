/** Meant for one connection only: RFC 9110 §7.6.1. `Trailer` stays: it announces what is passed on. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te']);

/** Lengths of the names above; most headers are told apart by length alone. */
const hopByHopLengths = new Set([...hopByHop].map((name) => name.length));

/** An upstream's raw headers as a flat list of strings for writeHead: order, case and repeats kept, hop-by-hop dropped. */
export function responseHeaders(raw: readonly Buffer[]): string[] {
  const headers: string[] = [];
  let named: Set<string> | undefined;
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] as Buffer).toString('latin1');
    const value = (raw[index + 1] as Buffer).toString('latin1');
    if (hopByHopLengths.has(name.length)) {
      const lower = name.toLowerCase();
      if (lower === 'connection') named = tokens(named, value);
      if (hopByHop.has(lower)) continue;
    }
    headers.push(name, value);
  }
  return named ? without(headers, named) : headers;
}

function tokens(known: Set<string> | undefined, value: string): Set<string> | undefined {
  const lower = value.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return known;
  return new Set([...(known ?? []), ...lower.split(',').map((token) => token.trim())]);
}

function without(headers: readonly string[], named: ReadonlySet<string>): string[] {
  // An app cannot take away what frames its own body.
  return headers.filter((_, index) => {
    const name = (headers[index - (index % 2)] as string).toLowerCase();
    return name === 'content-length' || !named.has(name);
  });
}
