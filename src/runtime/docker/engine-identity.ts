import type { RuntimeIdentity } from '../../model/instance.js';
import type { Engine } from './engine.js';
import { textAt } from './reply.js';

/** The identity of the engine that answers here. */
export class EngineIdentity {
  readonly #engine: Engine;
  /** As the engine last told it; undefined before that. */
  known: RuntimeIdentity | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Asks the engine, which may be another one than before. Throws if it does not answer. */
  async learn(): Promise<void> {
    const info = await this.#engine.json('ask Docker Engine who it is', { path: ['info'] });
    const [id, root] = [textAt(info, 'ID'), textAt(info, 'DockerRootDir')];
    // Up to version 23 the engines of one machine share an ID, which comes from a file in /etc/docker.
    if (id) this.known = { id: `${id} ${root ?? ''}`, place: this.#engine.where };
  }
}
