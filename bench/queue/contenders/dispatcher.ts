/** A queue whose workers wait for jobs, by the means that it has for that. */
export interface Dispatcher {
  readonly name: string;
  readonly note: string;
  /** Stores one job; its id, when it is committed. */
  send(): Promise<string>;
  /** Has `workers` wait for jobs and complete them; `leased` is told of each as soon as its worker has it. Returns what ends them. */
  start(workers: number, leased: (id: string) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}
