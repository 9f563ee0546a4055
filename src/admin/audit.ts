/** Who did what to an app: a line of the log. */
export interface AuditEntry {
  /** Name of the token. */
  readonly by: string;
  readonly action: string;
  readonly app: string;
  readonly changes: readonly string[];
}
