import { createHmac } from 'node:crypto';
import { type AffinityMark, readTag, tagLength } from '../forward/affinity-mark.js';
import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import { Lru } from '../model/lru.js';

/** The cookie of the dispatcher. */
export const affinityCookie = 'fastcontainer-affinity';

const mostTags = 10_000;
const ownCookie = new RegExp(`^${affinityCookie}=([\\w-]{${tagLength}})$`);

/**
 * Keeps clients at their instances, without memory of them: each carries a tag that only holders of the key can make, of one instance
 * of one app. A tag of another app or of an instance that has gone, or a forged one, means nothing.
 */
export class Affinity {
  readonly #key: Buffer;
  readonly #tags = new Lru<string, string>(mostTags);

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The instance that a request belongs to; undefined if there is none. Takes off `headers` (flat) what the app must not see. */
  take(headers: string[], { name, affinity }: App, deployment: Deployment): string | undefined {
    if (affinity === 'none') return undefined;
    const tags: string[] = [];
    for (let index = 0; index < headers.length; index += 2) {
      const header = headers[index]!.toLowerCase();
      const value = headers[index + 1]!;
      if (affinity !== 'cookie' && 'header' in affinity) {
        if (header !== affinity.header.toLowerCase()) continue;
        headers[index + 1] = withoutTag(value, tags);
      } else if (header === 'cookie') {
        const kept = affinity === 'cookie' ? withoutOwn(value, tags) : withoutTags(value, affinity.cookie, tags);
        if (kept !== '') headers[index + 1] = kept;
        else {
          headers.splice(index, 2);
          index -= 2;
        }
      }
    }
    return tags.length === 0 ? undefined : this.#instanceOf(name, deployment, tags);
  }

  /** What an answer of `instance` is to tell the client of a request that belongs to `preferred`; undefined: nothing. */
  markOf(
    { name, affinity }: App,
    instance: string,
    preferred: string | undefined,
    isSecure: boolean,
  ): AffinityMark | undefined {
    if (affinity === 'none') return undefined;
    const tag = this.#tagOf(name, instance);
    if (affinity !== 'cookie') {
      return 'header' in affinity
        ? { kind: 'tag', tag, header: affinity.header.toLowerCase() }
        : { kind: 'tag', tag, cookie: affinity.cookie };
    }
    // It has one, though its instance may have been full.
    if (preferred !== undefined) return undefined;
    const line = `${affinityCookie}=${tag}; Path=/; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`;
    return { kind: 'cookie', line };
  }

  #instanceOf(app: string, { instances }: Deployment, tags: readonly string[]): string | undefined {
    const standing = instances.filter(({ state }) => state === 'ready' || state === 'draining');
    return standing.find(({ id }) => tags.includes(this.#tagOf(app, id)))?.id;
  }

  #tagOf(app: string, instance: string): string {
    const name = `${app}\0${instance}`;
    const known = this.#tags.get(name);
    if (known !== undefined) return known;
    const made = createHmac('sha256', this.#key).update(name).digest('base64url').slice(0, tagLength);
    this.#tags.set(name, made);
    return made;
  }
}

function withoutTag(value: string, tags: string[]): string {
  const read = readTag(value);
  if (!read) return value;
  tags.push(read.tag);
  return read.value;
}

/** The pairs of a Cookie header but ours. */
function withoutOwn(value: string, tags: string[]): string {
  if (!value.includes(affinityCookie)) return value;
  return value
    .split(';')
    .filter((pair) => {
      const tag = ownCookie.exec(pair.trim())?.[1];
      if (tag !== undefined) tags.push(tag);
      return !pair.trimStart().startsWith(`${affinityCookie}=`);
    })
    .join(';')
    .trimStart();
}

/** The pairs of a Cookie header, those of this name without their tags. */
function withoutTags(value: string, name: string, tags: string[]): string {
  if (!value.includes(`${name}=`)) return value;
  return value
    .split(';')
    .map((pair) => (pair.trimStart().startsWith(`${name}=`) ? withoutTag(pair.trimEnd(), tags) : pair))
    .join(';');
}
