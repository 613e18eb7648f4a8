export {
  type KeeperConfig,
  type KeeperSettings,
  instanceFileSchema,
  keeperConfigSchema,
} from './keeper/config.ts';
