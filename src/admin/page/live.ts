import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { Answer, Api, Refusal } from './api.js';

export const ApiContext = createContext<Api | undefined>(undefined);

export function useApi(): Api {
  return useContext(ApiContext)!;
}

/** Shortest pause between two answers, in milliseconds. */
const pauseMs = 3_000;

export interface Live<Body> {
  /** The last answer to this path; absent until there is one. */
  readonly answer?: Answer<Body>;
  /** Why there is no newer answer. */
  readonly refusal?: Refusal | undefined;
  /** Asks now. */
  readonly refresh: () => void;
}

/**
 * The answer to a GET, asked for again and again while somebody looks at the page. A pause is ten times what the answer took, so that
 * pages which are open never take more than a part of the daemon.
 */
export function useLive<Body>(path: string): Live<Body> {
  const api = useApi();
  const [told, tell] = useState<{ readonly path: string } & Omit<Live<Body>, 'refresh'>>({ path });
  const wake = useRef(() => {});
  useEffect(() => {
    const gone = new AbortController();
    void follow<Body>({
      api,
      path,
      signal: gone.signal,
      tell: (next) => tell((before) => ({ ...(before.path === path && before), path, ...next })),
      onPause: (end) => (wake.current = end),
    });
    return () => gone.abort();
  }, [api, path]);
  const refresh = useCallback(() => wake.current(), []);
  return { ...(told.path === path && told), refresh };
}

interface Followed<Body> {
  readonly api: Api;
  readonly path: string;
  readonly signal: AbortSignal;
  readonly tell: (next: { answer?: Answer<Body>; refusal?: Refusal | undefined }) => void;
  /** Gets what ends the pause. */
  readonly onPause: (end: () => void) => void;
}

async function follow<Body>({ api, path, signal, tell, onPause }: Followed<Body>): Promise<void> {
  while (!signal.aborted) {
    const from = performance.now();
    await api.get<Body>(path, signal).then(
      (answer) => tell({ answer, refusal: undefined }),
      (error: Refusal) => signal.aborted || tell({ refusal: error }),
    );
    if (signal.aborted) return;
    await pause(Math.max(pauseMs, 10 * (performance.now() - from)), signal, onPause);
  }
}

/** Ends after this time, when asked to, or when the page is seen again; never while nobody sees it. */
function pause(ms: number, signal: AbortSignal, onPause: (end: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    let isOver = false;
    const end = () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const seen = () => document.visibilityState === 'visible' && isOver && end();
    const timer = setTimeout(() => {
      isOver = true;
      seen();
    }, ms);
    document.addEventListener('visibilitychange', seen);
    signal.addEventListener('abort', end);
    onPause(end);
  });
}

/** The daemon's time, anew each second. */
export function useNow(): number {
  const api = useApi();
  const [now, set] = useState(() => api.now());
  useEffect(() => {
    const timer = setInterval(() => set(api.now()), 1_000);
    return () => clearInterval(timer);
  }, [api]);
  return now;
}
