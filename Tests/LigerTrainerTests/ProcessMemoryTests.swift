import LigerTrainer
import Testing

@Suite struct ProcessMemoryTests {
    @Test func theSystemsTextIsRead() {
        let text = "Name:\tliger\nVmPeak:\t  999 kB\nVmHWM:\t   300 kB\nVmRSS:\t   200 kB\n"
        #expect(ProcessMemory(status: text) == ProcessMemory(resident: 200 << 10, peak: 300 << 10))
        #expect(ProcessMemory(status: "VmRSS: 7 kB") == ProcessMemory(resident: 7168, peak: 7168))
        #expect(ProcessMemory(status: "Name: x") == nil)
    }

    /// Other tests run beside this one, so only what 256 MiB must change is asked for.
    @Test func memoryThatIsUsedShows() throws {
        let before = try #require(ProcessMemory.current())
        let bytes = 256 << 20
        let block = [UInt8](repeating: 1, count: bytes)
        let during = try #require(ProcessMemory.current())
        #expect(block[bytes - 1] == 1)
        #expect(during.resident - before.resident > bytes / 2)
        #expect(during.peak >= during.resident / 2 && during.peak > bytes)
    }
}
