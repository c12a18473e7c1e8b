/// What systems do differently.
package enum System {
    #if canImport(Darwin)
        package static let isMac = true
    #else
        package static let isMac = false
    #endif

    /// Whether this was built without optimisation.
    #if DEBUG
        package static let isDebugBuild = true
    #else
        package static let isDebugBuild = false
    #endif

    /// Asks for large pages under freshly taken memory, where the system has them.
    package static func wantLargePages(_ memory: UnsafeMutableRawPointer, bytes: Int) {
        #if os(Linux)
            madvise(memory, bytes, MADV_HUGEPAGE)
        #endif
    }

    /// What a Mac says this process occupies, in bytes; nil on other systems, which have /proc.
    package static func physicalFootprint() -> (now: Int, peak: Int)? {
        #if canImport(Darwin)
            var usage = rusage_info_v4()
            let result = withUnsafeMutablePointer(to: &usage) { pointer in
                pointer.withMemoryRebound(to: rusage_info_t?.self, capacity: 1) {
                    proc_pid_rusage(getpid(), RUSAGE_INFO_V4, $0)
                }
            }
            guard result == 0 else { return nil }
            return (Int(usage.ri_phys_footprint), Int(usage.ri_lifetime_max_phys_footprint))
        #else
            return nil
        #endif
    }
}
