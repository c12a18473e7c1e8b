import Foundation
import Testing

/// AMD's code object manager (comgr), which its runtime brings: compiles LLVM IR in memory. Debian's libamd-comgr2 has
/// LLVM 15, the oldest that our text is for.
final class CodeObjectManager {
    /// Handles are one word in a structure, which travels as the word does.
    private typealias Handle = UInt64

    private enum Kind: Int32 { case bitcode = 6, relocatable, executable }
    private enum Action: Int32 { case generateCode = 6, link = 9 }

    static let isThere = dlopen("libamd_comgr.so.2", RTLD_NOW) != nil

    private let library: UnsafeMutableRawPointer

    init() throws {
        library = try #require(dlopen("libamd_comgr.so.2", RTLD_NOW), "there is no libamd_comgr")
    }

    /// The code object of a module.
    func compile(_ text: String, for architecture: String) throws -> [UInt8] {
        let name = "amdgcn-amd-amdhsa--\(architecture)"
        let object = try run(
            .generateCode, Array(text.utf8), .bitcode, to: .relocatable, name,
            options: ["-O2", "-ffp-contract=off"])
        return try run(.link, object, .relocatable, to: .executable, name, options: [])
    }

    private func run(
        _ action: Action, _ input: [UInt8], _ kind: Kind, to wanted: Kind, _ architecture: String,
        options: [String]
    ) throws -> [UInt8] {
        typealias OnSets = @convention(c) (Int32, Handle, Handle, Handle) -> Int32
        typealias Get = @convention(c) (Handle, Int32, Int, UnsafeMutablePointer<Handle>) -> Int32
        let (source, result) = (try set(), try set())
        typealias Add = @convention(c) (Handle, Handle) -> Int32
        try check(symbol("data_set_add", Add.self)(source, try data(input, kind)), "adding data")
        let information = try information(architecture, options)
        try check(
            symbol("do_action", OnSets.self)(action.rawValue, information, source, result), "\(action)")
        var data: Handle = 0
        try check(
            symbol("action_data_get_data", Get.self)(result, wanted.rawValue, 0, &data), "finding \(wanted)")
        typealias Read = @convention(c) (Handle, UnsafeMutablePointer<Int>, UnsafeMutableRawPointer?) -> Int32
        var size = 0
        try check(symbol("get_data", Read.self)(data, &size, nil), "asking for a size")
        var bytes = [UInt8](repeating: 0, count: size)
        try check(symbol("get_data", Read.self)(data, &size, &bytes), "reading \(wanted)")
        return bytes
    }

    private func set() throws -> Handle {
        typealias Make = @convention(c) (UnsafeMutablePointer<Handle>) -> Int32
        var set: Handle = 0
        try check(symbol("create_data_set", Make.self)(&set), "making a set")
        return set
    }

    private func data(_ bytes: [UInt8], _ kind: Kind) throws -> Handle {
        typealias Make = @convention(c) (Int32, UnsafeMutablePointer<Handle>) -> Int32
        typealias Fill = @convention(c) (Handle, Int, UnsafePointer<UInt8>) -> Int32
        typealias Name = @convention(c) (Handle, UnsafePointer<CChar>) -> Int32
        var data: Handle = 0
        try check(symbol("create_data", Make.self)(kind.rawValue, &data), "making data")
        try check(symbol("set_data", Fill.self)(data, bytes.count, bytes), "setting data")
        try check(symbol("set_data_name", Name.self)(data, kind == .bitcode ? "k.bc" : "k.o"), "naming data")
        return data
    }

    private func information(_ architecture: String, _ options: [String]) throws -> Handle {
        typealias Make = @convention(c) (UnsafeMutablePointer<Handle>) -> Int32
        typealias Name = @convention(c) (Handle, UnsafePointer<CChar>) -> Int32
        typealias Options = @convention(c) (Handle, UnsafePointer<UnsafePointer<CChar>?>?, Int) -> Int32
        var information: Handle = 0
        try check(symbol("create_action_info", Make.self)(&information), "making an action")
        try check(
            symbol("action_info_set_isa_name", Name.self)(information, architecture),
            "choosing \(architecture)")
        let copies = options.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        let list = copies.map { UnsafePointer<CChar>($0) }
        try check(
            symbol("action_info_set_option_list", Options.self)(information, list, list.count),
            "setting options")
        return information
    }

    private func symbol<F>(_ name: String, _ type: F.Type) throws -> F {
        unsafeBitCast(try #require(dlsym(library, "amd_comgr_\(name)"), "no \(name)"), to: type)
    }

    private func check(_ status: Int32, _ what: String) throws {
        try #require(status == 0, "\(what): comgr's status is \(status)")
    }
}
