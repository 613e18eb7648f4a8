/** A part of the gate or of the night: one vitest run. */
export interface Slice {
  readonly name: string;
  /** The command that runs the slice. */
  readonly command: readonly string[];
  /** The vitest projects of the slice. A failed file runs once more in these. */
  readonly projects: readonly string[];
  /** After this time the slice is killed and has failed. */
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

/** Every submission runs these slices. Tests whose length is configurable run short. */
const gate: readonly Slice[] = [
  test,
  slice('wire', 6),
  slice('commands', 5),
  slice('crash', 8),
  slice('hostile', 5),
  slice('simulation', 4),
  slice('bare', 8),
];

/** All slices, with the long variants of the tests. */
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
