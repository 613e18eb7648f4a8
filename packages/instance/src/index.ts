export type { JobAuth, JobLease } from './auth/job.ts';
export {
  type KeeperConfig,
  type KeeperSettings,
  instanceFileSchema,
  keeperConfigSchema,
} from './keeper/config.ts';
export type { Db } from './db/connect.ts';
