import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Refusal } from './api.js';
import { useNow } from './live.js';
import { duration } from './words.js';

/** The heading of a screen. It has the focus when the screen is new, so that keyboard and screen reader begin there. */
export function Heading({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function State({ of }: { readonly of: string }): JSX.Element {
  return <span class={`state state-${of}`}>{of}</span>;
}

/** When it falls asleep, or what keeps it from that. */
export function Sleeps({ at, keptBy }: { readonly at: string | null; readonly keptBy: string }): JSX.Element {
  if (at === null) return <>{keptBy}</>;
  return (
    <>
      in <Until at={at} />
    </>
  );
}

/** How long it is until then. */
export function Until({ at }: { readonly at: string }): JSX.Element {
  return <time dateTime={at}>{duration(Date.parse(at) - useNow())}</time>;
}

/** How long it is since then. */
export function Since({ at }: { readonly at: string }): JSX.Element {
  return <time dateTime={at}>{duration(useNow() - Date.parse(at))}</time>;
}

/** Why something cannot be shown or done. */
export function Refused({ refusal }: { readonly refusal: Refusal | undefined }): JSX.Element {
  return (
    <div role="alert">
      {refusal && (
        <p class="refusal">
          {refusal.message} {refusal.remedy}
        </p>
      )}
    </div>
  );
}

/** A table in a frame of its own. */
export function Table({ caption, heads, children }: TableProps): JSX.Element {
  return (
    <table>
      <caption>{caption}</caption>
      <thead>
        <tr>
          {heads.map(([head, place]) => (
            <th key={head} scope="col" class={place}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

interface TableProps {
  readonly caption: string;
  /** Each with its class: `wide` columns are left out on narrow screens. */
  readonly heads: readonly (readonly [head: string, place?: 'wide'])[];
  readonly children: ComponentChildren;
}
