/** A supervisor's times in milliseconds. Tests shorten them; operators cannot set them. */
export interface SupervisionTiming {
  /** How often a worker's event loop says that it turns. */
  readonly heartbeatMs: number;
  /** A worker that was silent for longer is killed and replaced. */
  readonly unresponsiveMs: number;
  /** A worker that does not serve within this time is killed and replaced. */
  readonly startMs: number;
  /** Workers that did not tell their metrics within this time are left out of an answer. */
  readonly answerMs: number;
}

export const defaultSupervisionTiming: SupervisionTiming = {
  heartbeatMs: 1_000,
  unresponsiveMs: 15_000,
  startMs: 60_000,
  answerMs: 2_000,
};
