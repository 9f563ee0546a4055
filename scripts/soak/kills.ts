/** What the soak killed. Times: performance.now(). */
export type Kill =
  | { readonly kind: 'daemon'; readonly at: number; readonly port: number; readonly pids: readonly number[] }
  | {
      readonly kind: 'worker';
      readonly at: number;
      readonly pids: readonly number[];
      /** The clients' ends of the connections that it held. */
      readonly clientPorts: ReadonlySet<number>;
    }
  | { readonly kind: 'container'; readonly at: number; readonly app: string; readonly instance: string };
