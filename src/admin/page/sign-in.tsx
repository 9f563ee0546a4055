import type { JSX } from 'preact';
import { Refusal } from './api.js';
import { Refused } from './parts.js';

interface SignInProps {
  /** A token was given, and is not known. */
  readonly wasRefused: boolean;
  readonly enter: (token: string) => void;
}

/** Asks for a token. The browser is not asked to remember it. */
export function SignIn({ wasRefused, enter }: SignInProps): JSX.Element {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token');
    if (typeof token === 'string' && token !== '') enter(token);
  };
  return (
    <main>
      <h1>fastcontainer</h1>
      <form onSubmit={submit}>
        <label>
          Token
          <input
            type="password"
            name="token"
            autocomplete="off"
            autoFocus
            required
            pattern="[!-~]+"
            maxLength={1_000}
          />
        </label>
        <button type="submit">sign in</button>
      </form>
      <p>It is one of admin.tokens, and is forgotten when this tab is closed.</p>
      <Refused refusal={wasRefused ? new Refusal(401, 'This token is not known.') : undefined} />
    </main>
  );
}
