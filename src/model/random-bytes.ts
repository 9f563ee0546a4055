/** Where ids come from. Injected, so that a simulation can repeat them; otherwise node:crypto's. */
export type RandomBytes = (size: number) => Buffer;
