import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { Answer, Api, LedgerEvent, Refusal } from './api.js';
import type { Feed } from './feed.js';
import { seen } from './seen.js';

/** What all screens share. */
export interface Source {
  readonly api: Api;
  readonly feed: Feed;
}

export const SourceContext = createContext<Source | undefined>(undefined);

export function useSource(): Source {
  return useContext(SourceContext)!;
}

/** Pauses between two answers: after an event, without one, and while events are not told; in milliseconds. */
const soonMs = 1_000;
const calmMs = 10_000;
const blindMs = 3_000;

export interface Live<Body> {
  /** The last answer to this path; absent until there is one. */
  readonly answer?: Answer<Body>;
  /** Why there is no newer answer. */
  readonly refusal?: Refusal | undefined;
  /** Asks now. */
  readonly refresh: () => void;
}

/**
 * The answer to a GET, asked for again when something happened, and now and then, while somebody sees the page. A pause is at least ten
 * times what the answer took, so that open pages are no load.
 */
export function useLive<Body>(path: string): Live<Body> {
  const source = useSource();
  const [told, tell] = useState<{ readonly path: string } & Omit<Live<Body>, 'refresh'>>({ path });
  const refreshed = useRef(() => {});
  useEffect(() => {
    const gone = new AbortController();
    const pauses = new Pauses(source.feed, gone.signal);
    refreshed.current = () => pauses.end();
    const say = (next: { answer?: Answer<Body>; refusal?: Refusal | undefined }) =>
      gone.signal.aborted || tell((before) => ({ ...(before.path === path && before), path, ...next }));
    void (async () => {
      while (!gone.signal.aborted) {
        const from = performance.now();
        pauses.begin();
        await source.api.get<Body>(path, gone.signal).then(
          (answer) => say({ answer, refusal: undefined }),
          (refusal: Refusal) => say({ refusal }),
        );
        await pauses.pause(10 * (performance.now() - from));
        await seen(gone.signal);
      }
    })();
    return () => gone.abort();
  }, [source, path]);
  const refresh = useCallback(() => refreshed.current(), []);
  return { ...(told.path === path && told), refresh };
}

/** When to ask again. */
class Pauses {
  readonly #feed: Feed;
  readonly #signal: AbortSignal;
  #hasNews = false;
  #onNews = () => {};
  #end = () => {};

  constructor(feed: Feed, signal: AbortSignal) {
    this.#feed = feed;
    this.#signal = signal;
    const stop = feed.listen(() => {
      this.#hasNews = true;
      this.#onNews();
    });
    signal.addEventListener('abort', () => {
      stop();
      this.#end();
    });
  }

  /** What happens from now on is news. */
  begin(): void {
    this.#hasNews = false;
  }

  end(): void {
    this.#hasNews = true;
    this.#end();
  }

  /** Ends with the news or in a while, but not before `leastMs`; at once with `end`, or the signal. */
  pause(leastMs: number): Promise<void> {
    const from = performance.now();
    return new Promise((resolve) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const until = (ms: number) => {
        clearTimeout(timer);
        timer = setTimeout(this.#end, Math.max(ms, leastMs) - (performance.now() - from));
      };
      this.#end = () => {
        clearTimeout(timer);
        this.#onNews = this.#end = () => {};
        resolve();
      };
      this.#onNews = () => until(soonMs);
      if (this.#signal.aborted) this.#end();
      else if (this.#hasNews) this.#onNews();
      else until(this.#feed.isOpen ? calmMs : blindMs);
    });
  }
}

/** The latest events, anew at most each second. */
export function useEvents(): readonly LedgerEvent[] {
  const { feed } = useSource();
  const [events, set] = useState<readonly LedgerEvent[]>(() => [...feed.events]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = feed.listen(() => {
      timer ??= setTimeout(() => {
        timer = undefined;
        set([...feed.events]);
      }, soonMs);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [feed]);
  return events;
}

/** The daemon's time, anew each second. */
export function useNow(): number {
  const { api } = useSource();
  const [now, set] = useState(() => api.now());
  useEffect(() => {
    const timer = setInterval(() => set(api.now()), 1_000);
    return () => clearInterval(timer);
  }, [api]);
  return now;
}
