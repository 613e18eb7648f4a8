export { fetchArchive, isUrl } from './host/firecracker/fetch.ts';
export type { FirecrackerFound } from './host/firecracker/find.ts';
export { findFirecracker } from './host/firecracker/find.ts';
export { installArchive, installedBinary, isInstalled } from './host/firecracker/install.ts';
export {
  architectures,
  chooseRelease,
  knownReleases,
  releaseUrl,
} from './host/firecracker/releases.ts';
export type { VmmHost, VmmSetting, Vmms } from './host/vmms.ts';
export { chooseVmms, vmmSettingSchema, vmmSettings } from './host/vmms.ts';
export {
  executorFileSchema,
  type HelperSettings as ExecutorHelperSettings,
  helperConfigSchema as executorHelperConfigSchema,
} from './helper/config.ts';
export { examineInstance, type InstanceFacts } from './uplink/examine-instance.ts';
export { openHttp } from './uplink/http.ts';
export { joinInstance, leaveInstance } from './uplink/join.ts';
export { applyRoute, type Route, routeSchema } from './uplink/network-route.ts';
