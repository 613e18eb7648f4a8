/** A part of the gate or of the night: one vitest run. */
export interface Slice {
  readonly name: string;
  /** What runs it. */
  readonly command: readonly string[];
  /** vitest's projects in it, in which a failed file is run once more. */
  readonly projects: readonly string[];
  /** The slice is ended, and has failed, after this time. */
  readonly minutes: number;
  readonly env: Readonly<Record<string, string>>;
}

const slice = (name: string, minutes: number, env: Slice['env'] = {}): Slice => ({
  name,
  command: ['npm', 'run', `ci:${name}`],
  projects: [name],
  minutes,
  env,
});
const test: Slice = {
  name: 'test',
  command: ['npm', 'test'],
  projects: ['unit', 'integration'],
  minutes: 12,
  env: {},
};

/** Every submission runs these. What a test does in long and in short, it does in short here. */
const gate: readonly Slice[] = [
  test,
  slice('wire', 6),
  slice('commands', 5),
  slice('crash', 8),
  slice('hostile', 5),
  slice('simulation', 4),
  slice('bare', 8),
];

/** Everything, in long: before an issue that touches its subject is closed. */
const night: readonly Slice[] = [
  test,
  slice('wire', 30, { FUMEHOOD_HISTORIES: '10000' }),
  slice('commands', 15),
  slice('crash', 60, {
    FUMEHOOD_PHASES: 'all',
    FUMEHOOD_KILLS: '200',
    FUMEHOOD_CANCELS: '50',
    FUMEHOOD_STALL_MS: '60000',
  }),
  slice('hostile', 12),
  slice('simulation', 40, { FUMEHOOD_SIMULATION_SECONDS: '900' }),
  slice('night', 120, { FUMEHOOD_POWER_LOSSES: '50' }),
  slice('bare', 60, { FUMEHOOD_BARE: 'test' }),
];

export const suites: Readonly<Record<string, readonly Slice[]>> = { gate, night };
