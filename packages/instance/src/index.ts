export { type BackupFacts, writeBackup } from './backup/backup.ts';
export type { Contents as BackupContents } from './backup/check.ts';
export { runningStores, type Stores, withStores } from './backup/stores.ts';
export { checkBackup, restoreBackup } from './backup/restore.ts';
export { findEmbeddedPostgres } from './db/server/embedded.ts';
export { ensureUser } from './helper/users.ts';
export {
  type HelperConfig as InstanceHelperConfig,
  type HelperSettings as InstanceHelperSettings,
  instanceFileSchema,
  helperConfigSchema as instanceHelperConfigSchema,
} from './helper/config.ts';
