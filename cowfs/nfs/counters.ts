/** What an export did so far. Read it at any time; numbers only grow, but for `waiting`. */
export interface NfsCounters {
  readonly requests: number;
  /** Requests by procedure name. */
  readonly byProcedure: Readonly<Record<string, number>>;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Retransmissions that got the first answer, or were joined to a request under way. */
  readonly repeats: number;
  /** Requests that had to wait for data, and those that were answered JUKEBOX because it took too long. */
  readonly parked: number;
  readonly jukebox: number;
  /** Requests that wait now, for data or stable storage. */
  readonly waiting: number;
  readonly connections: number;
}
