/** A room that acts on what this node learns of its store and its peers. Rooms are called in the order of their list. */
export interface StoreListener {
  /** The store is another one than before: it came back empty, or a replica took over. */
  storeReplaced?(): void;
  /**
   * The incarnation changed: what is registered under the old one must be registered anew before anything is sent. Until
   * `republishUntil` (monotonic milliseconds), what the store lacks of it is missing only because the store was replaced, and is
   * written again. Never rejects.
   */
  sessionRenewed?(republishUntil?: number): Promise<void>;
  /** As far as this node can judge, no node of these hosts is alive. Never rejects. */
  hostsSilent?(hosts: readonly string[]): Promise<void>;
}
