import { type JSX, render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Api, type Caller, type Refusal } from './api.js';
import { AppList } from './app-list.js';
import { Feed } from './feed.js';
import { SourceContext } from './live.js';
import { NodeList } from './node-list.js';
import { OneApp } from './one-app.js';
import { Refused } from './parts.js';
import { linkTo, usePlace } from './place.js';
import { SignIn } from './sign-in.js';

/** Where the token is kept: for this tab, until it is closed. */
const tokenKey = 'fastcontainer-token';

function Page(): JSX.Element {
  const [token, setToken] = useState(() => sessionStorage.getItem(tokenKey) ?? undefined);
  const [caller, setCaller] = useState<Caller>();
  const [refusal, setRefusal] = useState<Refusal>();
  const enter = (given: string | undefined) => {
    if (given === undefined) sessionStorage.removeItem(tokenKey);
    else sessionStorage.setItem(tokenKey, given);
    setCaller(undefined);
    setToken(given);
  };
  const api = useMemo(
    () =>
      new Api(token, (error) => {
        setCaller(undefined);
        setRefusal(error);
      }),
    [token],
  );
  const source = useMemo(() => ({ api, feed: new Feed() }), [api]);
  useEffect(() => {
    void api.get<Caller>('v1/caller').then(
      ({ body }) => {
        setRefusal(undefined);
        setCaller(body);
      },
      (error: Refusal) => setRefusal(error),
    );
  }, [api]);
  useEffect(() => {
    if (!caller) return;
    const gone = new AbortController();
    void source.feed.run(api, gone.signal);
    return () => gone.abort();
  }, [source, caller]);
  if (caller)
    return (
      <SourceContext.Provider value={source}>
        <Screens caller={caller} leave={token === undefined ? undefined : () => enter(undefined)} />
      </SourceContext.Provider>
    );
  if (refusal?.status === 401) return <SignIn wasRefused={token !== undefined} enter={enter} />;
  return (
    <main>
      <h1>fastcontainer</h1>
      <Refused refusal={refusal} />
    </main>
  );
}

interface ScreensProps {
  readonly caller: Caller;
  readonly leave: (() => void) | undefined;
}

function Screens({ caller, leave }: ScreensProps): JSX.Element {
  const { screen, query } = usePlace();
  const name = screen === 'app' ? (query.get('name') ?? '') : '';
  const mayOperate = caller.scope !== 'read';
  const shown =
    name !== '' ? (
      <OneApp key={name} {...{ name, mayOperate }} />
    ) : screen === 'nodes' ? (
      <NodeList />
    ) : (
      <AppList query={query} />
    );
  useEffect(() => {
    document.title = `${name || (screen === 'nodes' ? 'Nodes' : 'Apps')} · fastcontainer`;
  }, [screen, name]);
  // Tokens with labels know of no nodes.
  const links = [['apps', 'Apps'] as const, ...(caller.labels ? [] : [['nodes', 'Nodes'] as const])];
  const current = screen === 'nodes' ? 'nodes' : 'apps';
  return (
    <>
      <header>
        <nav aria-label="Main">
          {links.map(([to, text]) => (
            <a key={to} href={linkTo(to)} aria-current={to === current ? 'page' : undefined}>
              {text}
            </a>
          ))}
        </nav>
        <p>
          {caller.name}, may {caller.scope}
          {leave && (
            <button type="button" onClick={leave}>
              sign out
            </button>
          )}
        </p>
      </header>
      <main>{shown}</main>
    </>
  );
}

render(<Page />, document.body);
