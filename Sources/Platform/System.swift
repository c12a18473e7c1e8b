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

    // MARK: Processes and sockets

    /// A socket's kind that carries a stream of bytes, the number of TCP among protocols, and the wish for ports in
    /// digits.
    #if canImport(Glibc)
        package static let streamSocket = Int32(SOCK_STREAM.rawValue)
        package static let tcpProtocol = Int32(IPPROTO_TCP)
    #else
        package static let streamSocket = SOCK_STREAM
        package static let tcpProtocol = IPPROTO_TCP
    #endif
    package static let numericService = NI_NUMERICSERV

    /// The file that this process runs.
    package static func executablePath() throws -> String {
        #if canImport(Darwin)
            var length: UInt32 = 4096
            var text = [CChar](repeating: 0, count: Int(length))
            guard _NSGetExecutablePath(&text, &length) == 0 else { return CommandLine.arguments[0] }
            return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        #else
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        #endif
    }

    /// Starts a program in a process group of its own; nil if the system refuses.
    package static func spawn(_ path: String, _ arguments: [String], _ environment: [String]) -> pid_t? {
        #if canImport(Darwin)
            var attributes: posix_spawnattr_t?
        #else
            var attributes = posix_spawnattr_t()
        #endif
        guard posix_spawnattr_init(&attributes) == 0 else { return nil }
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)
        let texts = (arguments, environment)
        var (words, variables) = (texts.0.map { strdup($0) } + [nil], texts.1.map { strdup($0) } + [nil])
        defer { for text in words + variables { free(text) } }
        var process: pid_t = 0
        return posix_spawn(&process, path, nil, &attributes, &words, &variables) == 0 ? process : nil
    }
}
