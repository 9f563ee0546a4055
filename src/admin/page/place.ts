import { useEffect, useState } from 'preact/hooks';

/** What the page shows: all of it stands in the fragment of the address, so that it can be linked to and gone back to. */
export interface Place {
  readonly screen: string;
  readonly query: URLSearchParams;
}

/** Such as `#app?name=shop`. */
export function linkTo(screen: string, query: URLSearchParams | Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#${screen}${text === '' ? '' : `?${text}`}`;
}

export function usePlace(): Place {
  const [hash, set] = useState(location.hash);
  useEffect(() => {
    const changed = () => set(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  const [screen = '', query = ''] = hash.slice(1).split('?', 2);
  return { screen, query: new URLSearchParams(query) };
}
