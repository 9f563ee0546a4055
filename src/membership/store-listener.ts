/** A room that has to act on what this node hears of its store and its peers. Rooms are told in the order of their list. */
export interface StoreListener {
  /** The store is another one than before: it came back empty, or a replica took over. */
  storeReplaced?(): void;
  /**
   * The incarnation changed: what is registered under the old one must be registered anew before anything is sent. If the store was
   * replaced so soon after this node's last beat that until `republishUntil`, in monotonic milliseconds, what this node has in hand can
   * only be missing because the store was replaced, that is given. Never rejects.
   */
  sessionRenewed?(republishUntil?: number): Promise<void>;
  /** No node of these machines lives any more, as far as this one can judge. Never rejects. */
  hostsSilent?(hosts: readonly string[]): Promise<void>;
}
