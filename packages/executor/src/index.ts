export { executorFileSchema, type HelperConfig, helperConfigSchema } from './helper/config.ts';
