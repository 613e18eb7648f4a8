/** A queue whose workers wait for jobs in the way that the queue provides. */
export interface Dispatcher {
  readonly name: string;
  readonly note: string;
  /** Stores and commits one job, and returns its id. */
  send(): Promise<string>;
  /** Starts `workers` that wait for jobs and complete them. A worker calls `leased` as soon as it has a job. Returns a function that stops them. */
  start(workers: number, leased: (id: string) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}
