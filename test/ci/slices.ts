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
  minutes: 10,
  env: {},
};

/** Every submission runs these slices. Tests whose length is configurable run short. */
const gate: readonly Slice[] = [
  test,
  slice('wire', 6),
  slice('vms', 5),
  slice('commands', 8),
  slice('crash', 8),
  slice('hostile', 4),
  slice('simulation', 4),
  slice('bare', 8),
  slice('install', 6),
];

/** All slices, with the long forms of the tests. */
const night: readonly Slice[] = [
  test,
  slice('wire', 15, { FUMEHOOD_HISTORIES: '10000' }),
  slice('vms', 8),
  slice('commands', 12),
  slice('crash', 70, { FUMEHOOD_KILLS: '100', FUMEHOOD_CANCELS: '20', FUMEHOOD_VM_KILLS: '1000' }),
  slice('hostile', 8),
  slice('simulation', 20, { FUMEHOOD_SIMULATION_SECONDS: '300' }),
  slice('night', 120, { FUMEHOOD_POWER_LOSSES: '10' }),
  { ...slice('nested', 20), command: ['npm', 'run', 'test:nested'] },
  slice('bare', 30),
  slice('install', 8),
].map((one) => ({ ...one, env: { ...one.env, FUMEHOOD_LONG: '1' } }));

export const suites: Readonly<Record<string, readonly Slice[]>> = { gate, night };
