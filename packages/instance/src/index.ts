export { findEmbeddedPostgres } from './db/server/embedded.ts';
export { ensureUser } from './helper/users.ts';
export {
  type HelperConfig as InstanceHelperConfig,
  type HelperSettings as InstanceHelperSettings,
  instanceFileSchema,
  helperConfigSchema as instanceHelperConfigSchema,
} from './helper/config.ts';
