/** Source of ids. Injected, so that a simulation can repeat them; otherwise node:crypto's. */
export type RandomBytes = (size: number) => Buffer;
