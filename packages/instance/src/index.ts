export { type BackupFacts, writeBackup } from './backup/backup.ts';
export type { Contents as BackupContents } from './backup/check.ts';
export { checkBackup, restoreBackup } from './backup/restore.ts';
export { runningStores, type Stores, withStores } from './backup/stores.ts';
export { findEmbeddedPostgres } from './db/server/embedded.ts';
export {
  type HelperConfig as InstanceHelperConfig,
  type HelperSettings as InstanceHelperSettings,
  helperConfigSchema as instanceHelperConfigSchema,
  instanceFileSchema,
} from './helper/config.ts';
export { ensureUser } from './helper/users.ts';
