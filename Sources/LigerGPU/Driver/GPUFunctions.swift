package import Platform

/// The functions of a GPU's driver that this package calls, whoever made the GPU: AMD's HIP has those of NVIDIA's driver
/// under other names.
///
/// Owner: the maker's driver. Any thread may call any of them. Handles are opaque, addresses are numbers, and what
/// functions return is ``success`` or a code that ``error(_:_:details:)`` explains.
package struct GPUFunctions: Sendable {
    /// A stream, event, module, function or graph of the driver's.
    package typealias Handle = OpaquePointer
    package typealias Address = UInt64
    package typealias Call = @Sendable @convention(c) (Handle?) -> Int32
    package typealias CallOnTwo = @Sendable @convention(c) (Handle?, Handle?) -> Int32
    package typealias Make = @Sendable @convention(c) (UnsafeMutablePointer<Handle?>?, UInt32) -> Int32
    package typealias Wait = @Sendable @convention(c) (Handle?, Handle?, UInt32) -> Int32
    package typealias Ask = @Sendable @convention(c) (Handle?, UnsafeMutablePointer<Int32>?) -> Int32
    package typealias Begin = @Sendable @convention(c) (Handle?, Int32) -> Int32
    package typealias End = @Sendable @convention(c) (Handle?, UnsafeMutablePointer<Handle?>?) -> Int32
    package typealias Exchange = @Sendable @convention(c) (UnsafeMutablePointer<Int32>?) -> Int32
    package typealias Instantiate =
        @Sendable @convention(c) (UnsafeMutablePointer<Handle?>?, Handle?, UInt64) -> Int32
    package typealias Elapsed =
        @Sendable @convention(c) (UnsafeMutablePointer<Float>?, Handle?, Handle?) -> Int32
    package typealias Launch =
        @Sendable @convention(c) (
            Handle?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Int32
    package typealias Find =
        @Sendable @convention(c) (UnsafeMutablePointer<Handle?>?, Handle?, UnsafePointer<CChar>?) -> Int32
    package typealias AskFunction =
        @Sendable @convention(c) (UnsafeMutablePointer<Int32>?, Int32, Handle?) -> Int32
    package typealias Allocate = @Sendable @convention(c) (UnsafeMutablePointer<Address>?, Int) -> Int32
    package typealias Free = @Sendable @convention(c) (Address) -> Int32
    package typealias Information =
        @Sendable @convention(c) (UnsafeMutablePointer<Int>?, UnsafeMutablePointer<Int>?) -> Int32
    package typealias Pin =
        @Sendable @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>?, Int, UInt32) -> Int32
    package typealias CopyIn =
        @Sendable @convention(c) (Address, UnsafeRawPointer?, Int, Handle?) -> Int32
    package typealias CopyOut =
        @Sendable @convention(c) (UnsafeMutableRawPointer?, Address, Int, Handle?) -> Int32
    package typealias Copy = @Sendable @convention(c) (Address, Address, Int, Handle?) -> Int32
    package typealias Fill = @Sendable @convention(c) (Address, UInt8, Int, Handle?) -> Int32
    package typealias FillRows = @Sendable (Address, Int, UInt8, Int, Int, Handle?) -> Int32

    /// What makers' drivers say of a code, and what to do about it; nil where there is nothing to say.
    package struct Explanation: Sendable {
        package var name: String?
        package var meaning: String?
        package var advice: String?

        package init(name: String?, meaning: String?, advice: String?) {
            (self.name, self.meaning, self.advice) = (name, meaning, advice)
        }
    }

    /// Of every driver.
    package static let success: Int32 = 0
    package static let outOfMemory: Int32 = 2
    package static let nonBlocking: UInt32 = 1
    package static let withoutTiming: UInt32 = 2
    package static let captureRelaxed: Int32 = 2
    /// Questions to a compiled function.
    package static let threadsPerBlock: Int32 = 0
    package static let staticSharedBytes: Int32 = 1
    package static let localBytes: Int32 = 3
    package static let registers: Int32 = 4

    package var maker: String
    package var explain: @Sendable (Int32) -> Explanation

    package var createStream: Make
    package var destroyStream: Call
    package var synchronizeStream: Call
    package var isCapturing: Ask
    package var waitForEvent: Wait

    package var beginCapture: Begin
    package var endCapture: End
    package var exchangeCaptureMode: Exchange
    package var instantiateGraph: Instantiate
    package var launchGraph: CallOnTwo
    package var destroyGraph: Call
    package var destroyGraphInstance: Call

    package var createEvent: Make
    package var destroyEvent: Call
    package var recordEvent: CallOnTwo
    package var synchronizeEvent: Call
    package var elapsedTime: Elapsed

    package var unloadModule: Call
    package var moduleFunction: Find
    package var functionAttribute: AskFunction
    package var launch: Launch

    package var allocate: Allocate
    package var free: Free
    package var memoryInfo: Information
    package var allocateHost: Pin
    /// For host memory that every GPU reads and writes at the host's address, without copies kept elsewhere.
    package var pinned: UInt32
    package var copyToDevice: CopyIn
    package var copyToHost: CopyOut
    package var copyOnDevice: Copy
    package var fill: Fill
    package var fillRows: FillRows
}

extension GPUFunctions {
    /// - Parameters:
    ///   - symbols: of the driver.
    ///   - names: what it calls the functions, by what they are called here.
    ///   - pinned: flags of its own for pinned memory.
    /// - Throws: `MissingSymbol` for the first one that is not there.
    package init(
        maker: String, _ symbols: SymbolTable, _ names: [String: String], pinned: UInt32,
        fillRows: @escaping FillRows, explain: @escaping @Sendable (Int32) -> Explanation
    ) throws(MissingSymbol) {
        func find<F>(_ name: String) throws(MissingSymbol) -> F {
            guard let symbol = names[name] else { preconditionFailure("\(maker) has no name for \(name)") }
            return try symbols.find(symbol)
        }
        self.init(
            maker: maker, explain: explain, createStream: try find("createStream"),
            destroyStream: try find("destroyStream"), synchronizeStream: try find("synchronizeStream"),
            isCapturing: try find("isCapturing"), waitForEvent: try find("waitForEvent"),
            beginCapture: try find("beginCapture"), endCapture: try find("endCapture"),
            exchangeCaptureMode: try find("exchangeCaptureMode"),
            instantiateGraph: try find("instantiateGraph"), launchGraph: try find("launchGraph"),
            destroyGraph: try find("destroyGraph"), destroyGraphInstance: try find("destroyGraphInstance"),
            createEvent: try find("createEvent"), destroyEvent: try find("destroyEvent"),
            recordEvent: try find("recordEvent"), synchronizeEvent: try find("synchronizeEvent"),
            elapsedTime: try find("elapsedTime"), unloadModule: try find("unloadModule"),
            moduleFunction: try find("moduleFunction"), functionAttribute: try find("functionAttribute"),
            launch: try find("launch"), allocate: try find("allocate"), free: try find("free"),
            memoryInfo: try find("memoryInfo"), allocateHost: try find("allocateHost"), pinned: pinned,
            copyToDevice: try find("copyToDevice"), copyToHost: try find("copyToHost"),
            copyOnDevice: try find("copyOnDevice"), fill: try find("fill"), fillRows: fillRows)
    }
}
