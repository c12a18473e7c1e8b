internal import CNCCL
package import LigerGPU
package import LigerRuntime
internal import Platform
internal import Synchronization

/// The functions of NCCL, or of AMD's RCCL, that move bytes between ranks.
///
/// Owner: the process, which loads the library once and never unloads it. Any thread may call them; an open group
/// belongs to the thread that opened it.
package struct NCCL: Sendable {
    /// `NCCL` or `RCCL`.
    package let name: String
    /// The file in use.
    package let path: String
    /// 10000 major + 100 minor + patch.
    package let version: Int

    private let errorText: NCCLGetErrorString
    private let lastError: NCCLGetLastError
    let uniqueID: NCCLGetUniqueId
    let initialise: NCCLCommInitRank
    let destroy: NCCLCommCall
    let abort: NCCLCommCall
    let asynchronousError: NCCLCommGetAsyncError
    let beginGroup: NCCLGroupCall
    let endGroup: NCCLGroupCall
    let send: NCCLSend
    let receive: NCCLReceive

    /// Before it, a group of sends and receives might wait for itself where peers call in different orders.
    package static let oldestVersion = 21_800

    /// What moves bytes between ranks on such devices.
    ///
    /// - Throws: `RuntimeError` that says where NCCL was looked for and what to install.
    package static func serving(_ device: Device) throws -> NCCL {
        guard let wanted = device.exchangeLibrary else { return try host.get() }
        return try loaded.withLock { loaded in
            if let known = loaded[wanted.name] { return try known.get() }
            let made = Result<NCCL, any Error> { try open(wanted.search.candidates, as: wanted) }
            loaded[wanted.name] = made
            return try made.get()
        }
    }

    /// By name: a machine may have GPUs of several makers.
    private static let loaded = Mutex<[String: Result<NCCL, any Error>]>([:])

    private static let host = Result<NCCL, any Error> {
        try NCCL(path: "shared memory") { host_nccl_symbol($0) }
    }

    /// The first of these files that loads.
    package static func open(_ candidates: [String], as wanted: ExchangeLibrary) throws -> NCCL {
        var refusals: [String] = []
        for path in candidates {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                // dlsym only reads the handle.
                nonisolated(unsafe) let library = handle
                return try NCCL(path: path, as: wanted) { dlsym(library, $0) }
            }
            refusals.append(dlerror().map { String(cString: $0) } ?? "\(path): no reason given")
        }
        throw RuntimeError(
            "training on several GPUs needs \(wanted.name), which was not found; tried:\n  "
                + refusals.joined(separator: "\n  ") + "\n\(wanted.advice)", kind: .library)
    }

    /// - Parameters:
    ///   - path: what messages call the library.
    ///   - resolve: the address of an exported symbol.
    /// - Throws: `RuntimeError` if a symbol is missing or the library is too old.
    package init(
        path: String, as wanted: ExchangeLibrary? = nil,
        resolve: @escaping (String) -> UnsafeMutableRawPointer?
    ) throws {
        let (name, advice) = (wanted?.name ?? "NCCL", wanted?.advice ?? "")
        (self.path, self.name) = (path, name)
        let symbols = SymbolTable(resolve: resolve)
        var number: Int32 = 0
        do {
            let getVersion: NCCLGetVersion = try symbols.find("ncclGetVersion")
            _ = getVersion(&number)
            version = Int(number)
            guard version >= Self.oldestVersion else {
                throw Self.tooOld("\(path) is \(name)", version, advice)
            }
            errorText = try symbols.find("ncclGetErrorString")
            lastError = try symbols.find("ncclGetLastError")
            uniqueID = try symbols.find("ncclGetUniqueId")
            initialise = try symbols.find("ncclCommInitRank")
            destroy = try symbols.find("ncclCommDestroy")
            abort = try symbols.find("ncclCommAbort")
            asynchronousError = try symbols.find("ncclCommGetAsyncError")
            beginGroup = try symbols.find("ncclGroupStart")
            endGroup = try symbols.find("ncclGroupEnd")
            send = try symbols.find("ncclSend")
            receive = try symbols.find("ncclRecv")
        } catch let error as MissingSymbol {
            throw RuntimeError(
                "\(path) is no \(name) that can be used: it has no function \(error.name). "
                    + "\(Self.text(Self.oldestVersion)) or newer is needed. \(advice)", kind: .library)
        }
    }

    private static func tooOld(_ what: String, _ version: Int, _ advice: String) -> RuntimeError {
        RuntimeError(
            "\(what) \(text(version)); \(text(oldestVersion)) or newer is needed. \(advice)", kind: .library)
    }

    /// `2.27.3`.
    package var versionText: String { Self.text(version) }

    // Before version 2.9 the parts had one digit less: such are refused with a number that is off.
    private static func text(_ version: Int) -> String {
        "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }

    /// - Throws: `RuntimeError` unless the result says success.
    func check(
        _ result: ncclResult_t, _ comm: ncclComm_t?, _ operation: @autoclosure () -> String
    ) throws {
        if result == ncclSuccess { return }
        let text = errorText(result).map { String(cString: $0) } ?? "no text for it"
        let details = lastError(comm).map { String(cString: $0) } ?? ""
        let advice =
            switch result {
            case ncclUnhandledCudaError: ". The GPU's driver refused: `liger doctor` shows it"
            case ncclSystemError:
                ". The system refused a connection or memory: NCCL_DEBUG=WARN says which; in a container, "
                    + "/dev/shm may be too small"
            case ncclRemoteError: ". Another rank has ended: see its message"
            default: ". NCCL_DEBUG=WARN says more"
            }
        throw RuntimeError(
            "\(operation()) failed: \(name) result \(result), \(text)\(details.isEmpty ? "" : " (\(details))")\(advice)",
            kind: .device)
    }
}
