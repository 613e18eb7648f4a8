import type { Coverage, Fault } from './coverage.ts';
import type { Database } from './database.ts';
import type { Machine } from './machine.ts';
import type { Network, Partition } from './network.ts';
import type { Replica } from './replica.ts';
import type { World } from './world.ts';

export interface Scene {
  readonly world: World;
  readonly coverage: Coverage;
  readonly network: Network;
  readonly database: Database;
  readonly machines: readonly Machine[];
  readonly replicas: readonly Replica[];
  /** Returns the jobs that an executor runs, may get or has just ended; without an executor, those of all executors. */
  concerned(machine?: Machine): Iterable<number>;
}

/**
 * The distance between the two extremes to which the database's clock is set, ms. Together with the drift of an executor's clock within
 * one lease, it stays below the margins of the two sides (2 s and 1 s).
 */
const databaseStepMs = 2_000;

/** The disasters, each with its average period. Each seed has some of them. */
const disasters: readonly { readonly everyMs: number; readonly strike: (scene: Scene) => void }[] = [
  { everyMs: 8_000, strike: stopExecutor },
  { everyMs: 15_000, strike: killExecutor },
  { everyMs: 25_000, strike: endExecutor },
  { everyMs: 6_000, strike: killReplica },
  { everyMs: 7_000, strike: cutOff },
  { everyMs: 8_000, strike: loseDatabase },
  { everyMs: 8_000, strike: setMachineClock },
  { everyMs: 4_000, strike: setDatabaseClock },
  { everyMs: 60_000, strike: leapDatabaseClock },
];

/** How long an instance process must have run to know that the database's clock leapt. */
const leapMs = 30_000;

export interface Disasters {
  /** Reports an answer to an executor: a job, a lease that is largely over, or a stored end of a job. */
  answered(executor: string, what: WorstMoment): void;
  /** Repairs everything; no disaster happens afterwards. */
  end(): void;
}

/** The moments at which a disaster does most harm. */
export type WorstMoment = 'leased' | 'late' | 'ended';

/** Starts the disasters of this seed. */
export function startDisasters(scene: Scene): Disasters {
  const { world, network, machines, replicas, database } = scene;
  const { random } = world;
  let calm = false;
  network.weather = {
    loss: random.pick([0, 0.02, 0.1, 0.2, 0.3]),
    duplicates: random.pick([0, 0.05, 0.2, 0.4]),
    late: random.pick([0, 0.03, 0.1, 0.2]),
    lateMs: 20_000,
  };
  for (const { everyMs, strike } of disasters) {
    if (random.chance(0.35)) continue;
    const next = () =>
      world.after(-Math.log(1 - random.next()) * everyMs, () => {
        if (calm) return;
        strike(scene);
        next();
      });
    next();
  }
  const repairAll = () => {
    calm = true;
    network.weather = { loss: 0, duplicates: 0, late: 0, lateMs: 0 };
    network.partitions.clear();
    database.away = false;
    for (const machine of machines) {
      machine.continue();
      machine.start();
    }
    for (const replica of replicas) replica.start();
  };
  return {
    end: repairAll,
    answered(executor, what) {
      if (calm || !random.chance(what === 'late' ? 0.8 : 0.3)) return;
      const machine = machines.find(({ name }) => name === executor) as Machine;
      if (what === 'ended') {
        if (random.chance(0.5)) killReplica(scene);
        else killExecutor(scene, machine);
        return;
      }
      const some = [stopExecutor, cutOff, what === 'late' ? stopHeartbeats : killExecutor];
      const disaster = random.pick(some);
      world.after(random.chance(0.7) ? 0 : random.between(0, 2_000), () => {
        // Mostly for longer than a lease.
        if (!calm) disaster(scene, machine, random.between(5_000, 20_000));
      });
      if (random.chance(0.5)) return;
      setDatabaseClock(scene, -databaseStepMs / 2);
      world.after(random.between(0, 9_000), () => {
        if (calm) return;
        setDatabaseClock(scene, databaseStepMs / 2);
        if (random.chance(0.9)) killReplica(scene); // a replica that starts afterwards cannot know of the change
      });
    },
  };
}

function strike(scene: Scene, fault: Fault, what: string, jobs: Iterable<number>): void {
  scene.world.note(`${what}: ${fault}`);
  scene.coverage.fault(fault, jobs);
}

/** Returns the length of an outage, ms: sometimes longer than a lease. */
function outageMs({ random }: World): number {
  return random.chance(0.5) ? random.between(100, 3_000) : random.between(3_000, 22_000);
}

function stopExecutor(
  scene: Scene,
  machine = scene.world.random.pick(scene.machines),
  forMs = outageMs(scene.world),
): void {
  strike(scene, 'executor stopped', machine.name, scene.concerned(machine));
  machine.stop();
  scene.world.after(forMs, () => machine.continue());
}

function killExecutor(
  scene: Scene,
  machine = scene.world.random.pick(scene.machines),
  forMs = outageMs(scene.world),
): void {
  strike(scene, 'executor killed', machine.name, scene.concerned(machine));
  machine.kill();
  scene.world.after(forMs, () => machine.start());
}

function endExecutor({ world, machines }: Scene): void {
  const machine = world.random.pick(machines);
  world.note(`${machine.name}: is asked to end`);
  machine.end();
}

function killReplica(scene: Scene): void {
  if (scene.world.time < scene.database.leapKnownUntil) return;
  const replica = scene.world.random.pick(scene.replicas);
  strike(scene, 'replica killed', replica.name, scene.concerned());
  replica.kill();
  scene.world.after(scene.world.random.between(50, 4_000), () => replica.start());
}

function cutOff(
  scene: Scene,
  machine = scene.world.random.pick(scene.machines),
  forMs = outageMs(scene.world),
): void {
  const { random } = scene.world;
  partition(scene, forMs, {
    host: machine.name,
    server: random.chance(0.6) ? null : random.pick(scene.replicas).name,
    direction: random.pick(['requests', 'answers', 'both', 'both'] as const),
    heartbeats: random.chance(0.5),
  });
}

function stopHeartbeats(scene: Scene, machine: Machine, forMs: number): void {
  partition(scene, forMs, { host: machine.name, server: null, direction: 'requests', heartbeats: true });
}

function partition({ world, network }: Scene, forMs: number, cut: Partition): void {
  const what = cut.heartbeats ? 'heartbeats' : 'everything';
  world.note(`${cut.host}: is cut off from ${cut.server ?? 'all replicas'} (${cut.direction}, ${what})`);
  network.partitions.add(cut);
  world.after(forMs, () => network.partitions.delete(cut));
}

function loseDatabase({ world, database }: Scene): void {
  world.note('the database is away');
  database.away = true;
  world.after(world.random.between(50, 3_000), () => {
    database.away = false;
  });
}

function setMachineClock(scene: Scene): void {
  const { random } = scene.world;
  const machine = random.pick(scene.machines);
  strike(scene, "executor's clock set", machine.name, scene.concerned(machine));
  machine.clock.step(random.between(-1, 1) * random.pick([1_000, 3_600_000, 1e10]));
}

function setDatabaseClock(
  scene: Scene,
  offsetMs = scene.world.random.pick([-1, -1, scene.world.random.between(-1, 1), 1, 1]) *
    (databaseStepMs / 2),
): void {
  strike(scene, "database's clock set", 'database', scene.concerned());
  scene.database.offsetMs = offsetMs;
}

/** Sets the database's clock forward for good. All replicas run and see it: the product promises nothing beyond that. */
function leapDatabaseClock(scene: Scene): void {
  const { world, database, replicas } = scene;
  if (!replicas.every((replica) => replica.knowsClock)) return;
  strike(scene, "database's clock set", 'database, for good', scene.concerned());
  database.leaptMs += world.random.pick([2_000, 9_000, 60_000, 3_600_000]);
  database.leapKnownUntil = world.time + leapMs;
}
