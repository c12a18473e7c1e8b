import CHIP
import LigerArrays
import LigerGPU
import Platform
import Synchronization

/// AMD's code object manager (comgr): compiles LLVM IR in memory.
///
/// Owner: the process, which loads the library once, on first use, and never unloads it. Any thread may use it: one compiles
/// at a time, since the library's LLVM keeps settings that threads would write at the same time.
package final class CodeObjectManager: Sendable {
    /// The file in use.
    package let path: String
    package let version: Version
    private let functions: ComgrFunctions
    /// Of all that are loaded, which may share a library.
    private static let turn = Mutex(())

    package struct Version: Sendable, CustomStringConvertible {
        package let major: Int
        package let minor: Int

        package var description: String { "\(major).\(minor)" }

        /// What is done, by its number, which major releases have changed.
        var generateCode: Int32 { major >= 3 ? 4 : 6 }
        var linkExecutable: Int32 { major >= 3 ? 7 : 9 }
    }

    /// What is asked of the compiler. Products and sums were contracted before, so it contracts nothing.
    package static let options = ["-O2", "-ffp-contract=off"]

    /// - Throws: `RuntimeError` that says where it was looked for and what to install.
    package static func load() throws -> CodeObjectManager { try loaded.get() }

    private static let loaded = Result<CodeObjectManager, any Error> {
        try LibrarySearch.comgr(ProcessInfo.processInfo.environment).load(CodeObjectManager.init) {
            RuntimeError(
                "kernels for AMD GPUs are compiled by the code object manager (libamd_comgr), which was not "
                    + "found; tried:\n  " + $0.joined(separator: "\n  ")
                    + "\nInstall it with ROCm, or set LIGER_COMGR to the file or its folder", kind: .library)
        }
    }

    /// - Throws: `RuntimeError` if a function is missing, or if the numbers of actions are not known for the release.
    package init(path: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        self.path = path
        do {
            functions = try ComgrFunctions(resolve)
        } catch {
            throw RuntimeError(
                "\(path) is no code object manager that can be used: it has no function \(error.name). Set "
                    + "LIGER_COMGR to one of ROCm", kind: .library)
        }
        var (major, minor) = (0, 0)
        functions.version(&major, &minor)
        version = Version(major: major, minor: minor)
        guard (2...3).contains(major) else {
            throw RuntimeError(
                "\(path) is version \(version) of the code object manager; 2 or 3 is needed. Install ROCm 6 or 7, "
                    + "or set LIGER_COMGR", kind: .library)
        }
    }

    /// The code object of a module of LLVM IR.
    ///
    /// - Parameter architecture: such as `gfx942`.
    /// - Throws: `RuntimeError` with the compiler's log if the text does not compile.
    /// - Cost: tens of milliseconds for a kernel.
    package func compile(_ text: String, for architecture: String) throws -> [UInt8] {
        try Self.turn.withLock { _ in
            let object = try perform(
                version.generateCode, Array(text.utf8), AMD_COMGR_DATA_KIND_BC,
                to: AMD_COMGR_DATA_KIND_RELOCATABLE, architecture, Self.options)
            return try perform(
                version.linkExecutable, object, AMD_COMGR_DATA_KIND_RELOCATABLE,
                to: AMD_COMGR_DATA_KIND_EXECUTABLE, architecture, [])
        }
    }

    private func perform(
        _ action: Int32, _ input: [UInt8], _ kind: amd_comgr_data_kind_t, to wanted: amd_comgr_data_kind_t,
        _ architecture: String, _ options: [String]
    ) throws -> [UInt8] {
        let information = try make(functions.createAction, "describing a compilation")
        defer { _ = functions.destroyAction(information) }
        try check(
            functions.setArchitecture(information, "amdgcn-amd-amdhsa--" + architecture),
            "compiling for \(architecture)")
        try check(functions.setLogging(information, true), "asking for the compiler's log")
        try setOptions(options, information)
        let source = try make(functions.createSet, "making a set of sources")
        defer { _ = functions.destroySet(source) }
        let result = try make(functions.createSet, "making a set of results")
        defer { _ = functions.destroySet(result) }
        try add(input, kind, to: source)
        let status = functions.act(action, information, source, result)
        if status != 0 {
            let log = (try? read(result, AMD_COMGR_DATA_KIND_LOG)).map { String(decoding: $0, as: UTF8.self) }
            throw failure(status, "compiling a kernel for \(architecture)", details: log ?? "")
        }
        return try read(result, wanted)
    }

    private func setOptions(_ options: [String], _ information: ComgrHandle) throws {
        let copies = options.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        var list = copies.map { UnsafePointer<CChar>($0) }
        let count = list.count
        try check(functions.setOptions(information, &list, count), "setting the compiler's options")
    }

    private func add(_ bytes: [UInt8], _ kind: amd_comgr_data_kind_t, to set: ComgrHandle) throws {
        var data = ComgrHandle()
        try check(functions.createData(kind, &data), "making data for the compiler")
        // The set keeps it.
        defer { _ = functions.releaseData(data) }
        try bytes.withUnsafeBytes {
            try check(
                functions.setData(data, $0.count, $0.bindMemory(to: CChar.self).baseAddress),
                "handing a kernel to the compiler")
        }
        let name = kind == AMD_COMGR_DATA_KIND_BC ? "kernel.bc" : "kernel.o"
        try check(functions.setName(data, name), "naming a kernel")
        try check(functions.add(set, data), "handing a kernel to the compiler")
    }

    private func read(_ set: ComgrHandle, _ kind: amd_comgr_data_kind_t) throws -> [UInt8] {
        var data = ComgrHandle()
        try check(functions.find(set, kind, 0, &data), "finding what was compiled")
        defer { _ = functions.releaseData(data) }
        var count = 0
        try check(functions.read(data, &count, nil), "asking for the size of what was compiled")
        var bytes = [CChar](repeating: 0, count: count)
        try check(functions.read(data, &count, &bytes), "reading what was compiled")
        return bytes.map { UInt8(bitPattern: $0) }
    }

    private func make(_ create: ComgrMake, _ operation: String) throws -> ComgrHandle {
        var made = ComgrHandle()
        try check(create(&made), operation)
        return made
    }

    private func check(_ status: amd_comgr_status_t, _ operation: String) throws {
        if status != 0 { throw failure(status, operation) }
    }

    private func failure(
        _ status: amd_comgr_status_t, _ operation: String, details: String = ""
    ) -> RuntimeError {
        var text: UnsafePointer<CChar>?
        _ = functions.statusText(status, &text)
        let meaning = text.map { String(cString: $0) } ?? "no text for it"
        return RuntimeError(
            "\(operation) failed: comgr \(version), status \(status), \(meaning)"
                + (details.isEmpty ? "" : "\n" + details), kind: .library)
    }
}

/// The library's functions that are called, resolved once.
private struct ComgrFunctions: Sendable {
    let version: ComgrGetVersion
    let statusText: ComgrStatusText
    let createSet: ComgrMake
    let destroySet: ComgrCall
    let createAction: ComgrMake
    let destroyAction: ComgrCall
    let createData: ComgrMakeData
    let releaseData: ComgrCall
    let setData: ComgrSetData
    let setName: ComgrSetText
    let add: ComgrAdd
    let setArchitecture: ComgrSetText
    let setOptions: ComgrSetOptions
    let setLogging: ComgrSetFlag
    let act: ComgrAct
    let find: ComgrFind
    let read: ComgrRead

    init(_ resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws(MissingSymbol) {
        let symbols = SymbolTable(resolve: resolve)
        version = try symbols.find("amd_comgr_get_version")
        statusText = try symbols.find("amd_comgr_status_string")
        createSet = try symbols.find("amd_comgr_create_data_set")
        destroySet = try symbols.find("amd_comgr_destroy_data_set")
        createAction = try symbols.find("amd_comgr_create_action_info")
        destroyAction = try symbols.find("amd_comgr_destroy_action_info")
        createData = try symbols.find("amd_comgr_create_data")
        releaseData = try symbols.find("amd_comgr_release_data")
        setData = try symbols.find("amd_comgr_set_data")
        setName = try symbols.find("amd_comgr_set_data_name")
        add = try symbols.find("amd_comgr_data_set_add")
        setArchitecture = try symbols.find("amd_comgr_action_info_set_isa_name")
        setOptions = try symbols.find("amd_comgr_action_info_set_option_list")
        setLogging = try symbols.find("amd_comgr_action_info_set_logging")
        act = try symbols.find("amd_comgr_do_action")
        find = try symbols.find("amd_comgr_action_data_get_data")
        read = try symbols.find("amd_comgr_get_data")
    }
}
